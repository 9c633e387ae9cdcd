import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A stored message, ready to be sent. */
export interface CorpusMessage {
  /** `folder/file`. */
  readonly name: string;
  readonly content: Buffer;
}

const FOLDERS = ['ham', 'odd', 'spam'];

/**
 * The one rule that makes a stored message an SMTP one: a first line of an mbox is dropped, then
 * every line end (CRLF or LF; not a lone CR) is CRLF.
 */
export function asSmtp(stored: Buffer): Buffer {
  const text = stored.toString('latin1').replace(/^From [^\n]*\n/, '');
  return Buffer.from(text.replace(/\r?\n/g, '\r\n'), 'latin1');
}

/** The folder with the sample messages, from the environment; undefined when there is none. */
export function corpusFolder(): string | undefined {
  return process.env.WAXSEAL_CORPUS || undefined;
}

/**
 * For tests that need the sample messages: skips by name when `WAXSEAL_CORPUS` is not set; a
 * failure where peers are required (`WAXSEAL_REQUIRE_PEERS=1`).
 */
export function requireCorpus(context: Mocha.Context): string {
  const folder = corpusFolder();
  if (folder !== undefined) return folder;
  if (process.env.WAXSEAL_REQUIRE_PEERS === '1') {
    throw new Error('WAXSEAL_CORPUS is not set, and WAXSEAL_REQUIRE_PEERS=1 forbids skipping');
  }
  return context.skip();
}

/** All sample messages, in the order of their names. */
export async function readCorpus(folder: string): Promise<CorpusMessage[]> {
  const messages: CorpusMessage[] = [];
  for (const part of FOLDERS) {
    for (const file of (await readdir(join(folder, part))).sort()) {
      const stored = await readFile(join(folder, part, file));
      messages.push({ name: `${part}/${file}`, content: asSmtp(stored) });
    }
  }
  return messages;
}
