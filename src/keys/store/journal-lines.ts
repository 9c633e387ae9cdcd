import { type JournalEntry, type JournalFilter, journalEntry } from './journal.ts';

/** Where a line stands. */
export interface LineRef {
  readonly segment: string;
  /** In octets; without the line end. */
  readonly start: number;
  readonly end: number;
}

const LINE_END = 0x0a;

/**
 * Which lines of a journal are about which domain, and of which intent. A command that takes steps
 * for ten thousand domains asks for each of them, and must not read all of the journal each time.
 * Fed with octets in the order in which they stand; what was fed is not looked at again.
 */
export class JournalLines {
  readonly #domains = new Map<string, LineRef[]>();
  readonly #intents = new Map<string, LineRef[]>();
  /** Octets of each segment that were taken in: up to its last line end. */
  readonly #taken = new Map<string, number>();

  /** From where a segment is to be fed. */
  takenOf(segment: string): number {
    return this.#taken.get(segment) ?? 0;
  }

  /**
   * Takes in what follows. Half a line at the end is left for the next time.
   *
   * @param octets of the segment, from `takenOf` on
   * @returns how many were taken
   */
  feed(segment: string, octets: Buffer): number {
    const base = this.takenOf(segment);
    let start = 0;
    for (;;) {
      const end = octets.indexOf(LINE_END, start);
      if (end < 0) break;
      const entry = journalEntry(octets.toString('utf8', start, end));
      if (entry !== undefined) this.#add(entry, { segment, start: base + start, end: base + end });
      start = end + 1;
    }
    this.#taken.set(segment, base + start);
    return start;
  }

  /** Passes over octets that are no line of ours, however long. */
  skip(segment: string, count: number): void {
    this.#taken.set(segment, this.takenOf(segment) + count);
  }

  /** The lines that a filter is about; more than it wants if it names both. */
  of({ domain, intent }: JournalFilter): readonly LineRef[] {
    const refs = intent === undefined ? this.#domains.get(domain ?? '') : this.#intents.get(intent);
    return refs ?? [];
  }

  #add({ domain, intent }: JournalEntry, ref: LineRef): void {
    if (domain !== undefined) append(this.#domains, domain, ref);
    if (intent !== undefined) append(this.#intents, intent, ref);
  }
}

function append(map: Map<string, LineRef[]>, name: string, ref: LineRef): void {
  const refs = map.get(name);
  if (refs === undefined) map.set(name, [ref]);
  else refs.push(ref);
}
