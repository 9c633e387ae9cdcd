import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Domain and selector of a signature, as `d=` and `s=` say. */
export interface SignedAs {
  readonly domain: string;
  readonly selector: string;
}

/**
 * Lets the real OpenDKIM sign a message from an address, by a configuration file, in its test mode
 * (no milter, no socket).
 *
 * @returns none when it does not sign, whatever its reason
 */
export async function opendkimSignatures(
  opendkim: string,
  confFile: string,
  from: string,
): Promise<readonly SignedAs[]> {
  const dir = await mkdtemp(join(tmpdir(), 'waxseal-opendkim-'));
  try {
    const message = join(dir, 'message');
    const header = ['Date: Wed, 25 Nov 2026 10:00:00 +0000', 'Message-ID: <1@example.com>'];
    const lines = [`From: ${from}`, 'To: to@example.org', 'Subject: test', ...header, '', 'hi', ''];
    await writeFile(message, lines.join('\r\n'));
    const { stdout } = await run(opendkim, ['-x', confFile, '-vvv', '-t', message]).catch(
      (error: { stdout?: string }) => ({ stdout: error.stdout ?? '' }),
    );
    const signatures = stdout.split('DKIM-Signature').slice(1);
    return signatures.map((text) => ({
      domain: /\bd=([^;\s]+)/.exec(text)?.[1] ?? '',
      selector: /\bs=([^;\s]+)/.exec(text)?.[1] ?? '',
    }));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
