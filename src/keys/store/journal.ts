import { printable } from '../../base/printable.ts';
import { KeysError } from '../keys-error.ts';

/**
 * The journal: what was done to keys and records, by whom and why. It is only ever appended to, and
 * lies apart from the manifest, so that it tells what happened even where the manifest is lost. It
 * is what publishers go by (they change only what the journal says we wrote), and what finds a key
 * again whose making was interrupted.
 */

export interface JournalEntry {
  /** UTC, ISO 8601. */
  readonly at: string;
  /** STS ARN or user. */
  readonly caller: string;
  /** The command line's verb, e.g. `rotate`. */
  readonly command: string;
  /** What happened: `key-create-intended`, `record-written` … */
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
  /** Of KMS or Route 53. */
  readonly requestIds?: readonly string[];
  readonly details?: Readonly<Record<string, string>>;
}

export interface JournalFilter {
  readonly domain?: string;
  readonly intent?: string;
}

export interface Journal {
  /**
   * Writes an entry; it is on the disk (or with the service) when this resolves.
   *
   * @throws KeysError `journal-unwritable`, `journal-entry` (too large, or it looks like a secret)
   */
  append(entry: JournalEntry): Promise<void>;
  /**
   * The entries in the order in which they were written; those of writers that worked at the same
   * time may be mixed. Reads piece by piece. Without a filter, a line that cannot be read is given
   * as an entry `journal-damaged`; never is it left out in silence.
   *
   * @throws KeysError `journal-unreadable`
   */
  read(filter: JournalFilter): AsyncIterable<JournalEntry>;
}

/** An entry as JSON, its line end included. A record of RSA-4096 takes about 800. */
export const MAX_ENTRY_BYTES = 16_384;

const TEXTS = ['at', 'caller', 'command', 'event'] as const;
const OPTIONAL_TEXTS = ['domain', 'selector', 'intent', 'reason'] as const;

/**
 * An entry as one line.
 *
 * @throws KeysError `journal-entry`
 */
export function journalLine(entry: JournalEntry): string {
  const line = `${JSON.stringify(entry)}\n`;
  if (Buffer.byteLength(line) > MAX_ENTRY_BYTES) {
    const message = `an entry of the journal (${entry.event}) has more than ${MAX_ENTRY_BYTES} octets`;
    throw new KeysError('journal-entry', message);
  }
  if (looksSecret(line)) {
    const message = `an entry of the journal (${entry.event}) looks as if it held a private key; it was not written`;
    throw new KeysError('journal-entry', message, { hint: 'please report this' });
  }
  return line;
}

/** Reads a line. @returns undefined for what is no entry */
export function journalEntry(line: string): JournalEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  return isEntry(value) ? value : undefined;
}

/** The entries of a text that pass a filter. */
export function* entriesOf(
  lines: Iterable<string>,
  filter: JournalFilter,
  where: string,
): Generator<JournalEntry> {
  for (const line of lines) {
    if (line.trim() === '') continue; // a writer that met half a line began with a line end
    const entry = journalEntry(line);
    if (entry === undefined) {
      if (filter.domain === undefined && filter.intent === undefined) yield damaged(where, line);
    } else if (passes(entry, filter)) yield entry;
  }
}

function damaged(where: string, line: string): JournalEntry {
  const details = { where, characters: String(line.length), begins: printable(line, 40) };
  return { at: '', caller: '', command: '', event: 'journal-damaged', details };
}

function passes(entry: JournalEntry, { domain, intent }: JournalFilter): boolean {
  return (
    (domain === undefined || entry.domain === domain) &&
    (intent === undefined || entry.intent === intent)
  );
}

function isEntry(value: unknown): value is JournalEntry {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const field = (name: string): unknown => Object.getOwnPropertyDescriptor(value, name)?.value;
  return (
    TEXTS.every((name) => typeof field(name) === 'string') &&
    OPTIONAL_TEXTS.every((name) => ['string', 'undefined'].includes(typeof field(name)))
  );
}

/**
 * PEM, or the DER of a private key as base64: an INTEGER 0 or 1, the version, comes first inside
 * the SEQUENCE in PKCS#8 (RFC 5958), PKCS#1 (RFC 8017 appendix A.1.2) and SEC 1; in a public key
 * there is another SEQUENCE or a long INTEGER.
 */
export function looksSecret(text: string): boolean {
  if (/-----BEGIN|PRIVATE KEY-----/.test(text)) return true;
  for (const [run] of text.matchAll(/[A-Za-z0-9+/_-]{40,}/g)) {
    for (let start = 0; start < Math.min(4, run.length); start += 1) {
      if (isPrivateDer(Buffer.from(run.slice(start, start + 16), 'base64'))) return true;
    }
  }
  return false;
}

function isPrivateDer(octets: Buffer): boolean {
  const [tag, length = 0] = octets;
  if (tag !== 0x30) return false;
  const inner = length < 0x80 ? 2 : 2 + (length & 0x7f);
  return octets[inner] === 0x02 && octets[inner + 1] === 0x01 && (octets[inner + 2] ?? 9) <= 1;
}
