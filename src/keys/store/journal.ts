import { appendFile, open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { makeDirectory } from '../atomic-write.ts';
import { KeysError, systemCode, systemReason } from '../keys-error.ts';

/** What was meant to be done and what was done; it only grows, and stands apart from the manifest. */
export interface JournalEntry {
  /** UTC, ISO 8601. */
  readonly at: string;
  /** STS ARN, or user and host. */
  readonly caller: string;
  readonly command: string;
  readonly event: string;
  readonly domain?: string;
  readonly selector?: string;
  readonly intent?: string;
  readonly reason?: string;
  readonly record?: {
    readonly name: string;
    readonly type: 'TXT' | 'CNAME';
    readonly ttlS: number;
    readonly value: string;
  };
  readonly requestIds?: readonly string[];
  readonly details?: Readonly<Record<string, string>>;
}

export interface Journal {
  /** Resolves when the entry is on the disk. */
  append(entry: JournalEntry): Promise<void>;
  /** Oldest first. */
  read(filter: { readonly domain?: string; readonly intent?: string }): AsyncIterable<JournalEntry>;
}

/** One file for each domain, so that reading one domain's costs nothing for the others. */
export class FileJournal implements Journal {
  readonly #dir: string;

  /** @param dir directory of the journal; made with the first entry */
  constructor(dir: string) {
    this.#dir = path.resolve(dir);
  }

  async append(entry: JournalEntry): Promise<void> {
    const file = this.#file(entry.domain);
    try {
      await makeDirectory(this.#dir, 0o750);
      // A line that a crash cut short is ended by the next one's first octet.
      await appendFile(file, `\n${JSON.stringify(entry)}`, { mode: 0o640, flush: true });
    } catch (error) {
      const message = `${file} ${systemReason(error)}`;
      throw new KeysError('journal-unwritable', message, { cause: error });
    }
  }

  async *read(filter: { domain?: string; intent?: string }): AsyncGenerator<JournalEntry> {
    const names = filter.domain === undefined ? await this.#names() : [`${filter.domain}.jsonl`];
    for (const name of names) yield* this.#readFile(path.join(this.#dir, name), filter.intent);
  }

  async #names(): Promise<readonly string[]> {
    const names = await readdir(this.#dir).catch(() => []);
    return names.filter((name) => name.endsWith('.jsonl')).sort();
  }

  async *#readFile(file: string, intent: string | undefined): AsyncGenerator<JournalEntry> {
    let handle: Awaited<ReturnType<typeof open>>;
    try {
      handle = await open(file, 'r');
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return;
      throw new KeysError('journal-unreadable', `the journal ${systemReason(error)}`, {
        cause: error,
      });
    }
    try {
      for await (const line of handle.readLines()) {
        const entry = parseEntry(line);
        if (entry === undefined) continue;
        if (intent === undefined || entry.intent === intent) yield entry;
      }
    } finally {
      await handle.close();
    }
  }

  #file(domain: string | undefined): string {
    return path.join(this.#dir, `${domain ?? 'general'}.jsonl`);
  }
}

function parseEntry(line: string): JournalEntry | undefined {
  try {
    return line === '' ? undefined : (JSON.parse(line) as JournalEntry);
  } catch {
    return undefined;
  }
}
