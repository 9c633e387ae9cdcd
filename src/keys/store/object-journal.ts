import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { pause } from '../../base/pause.ts';
import { KeysError } from '../keys-error.ts';
import {
  entriesOf,
  type Journal,
  type JournalEntry,
  type JournalFilter,
  journalLine,
} from './journal.ts';
import { JournalLines } from './journal-lines.ts';
import type { ObjectPlace } from './object-place.ts';

/** Entries that are fetched at the same time. */
const READ_AT_ONCE = 16;
const MAX_ATTEMPTS = 30;
const PAUSE_MS = 200;

/**
 * The journal with one object for each entry, for places where objects are many and small (S3). The
 * name begins with the domain, so that those of one domain can be listed alone, and goes on with the
 * time, so that they sort as they were written.
 */
export class EntryJournal implements Journal {
  readonly #place: ObjectPlace;
  #count = 0;

  constructor(place: ObjectPlace) {
    this.#place = place;
  }

  async append(entry: JournalEntry): Promise<void> {
    const text = journalLine(entry);
    this.#count += 1;
    const order = String(this.#count).padStart(6, '0'); // of one writer within a millisecond
    const suffix = randomBytes(8).toString('hex');
    const name = `${folderOf(entry.domain)}${entry.at}~${order}~${suffix}`;
    try {
      await this.#place.put('journal', name, text, 'absent');
    } catch (error) {
      throw translated('journal-unwritable', error);
    }
  }

  async *read(filter: JournalFilter): AsyncIterable<JournalEntry> {
    const prefix = filter.domain === undefined ? '' : folderOf(filter.domain);
    try {
      const names = (await this.#place.list('journal', prefix)).map(({ name }) => name);
      const sorted = names.sort((one, other) => (timeOf(one) < timeOf(other) ? -1 : 1));
      for (let start = 0; start < sorted.length; start += READ_AT_ONCE) {
        const batch = sorted.slice(start, start + READ_AT_ONCE);
        const found = await Promise.all(batch.map((name) => this.#place.get('journal', name)));
        for (const [index, object] of found.entries()) {
          if (object !== undefined) yield* entriesOf([object.text], filter, batch[index] ?? '');
        }
      }
    } catch (error) {
      throw translated('journal-unreadable', error);
    }
  }
}

/** No domain begins with `_`. */
function folderOf(domain: string | undefined): string {
  return `${domain ?? '_'}/`;
}

function timeOf(name: string): string {
  return name.slice(name.indexOf('/') + 1);
}

/**
 * The journal in numbered segments, for places where objects are few and larger (ConfigMaps). An
 * entry is added by compare-and-set; nothing that stands there is ever changed.
 */
export class SegmentJournal implements Journal {
  readonly #place: ObjectPlace;
  readonly #clock: Clock;
  readonly #segmentBytes: number;
  #last: number | undefined;
  readonly #segments = new Map<string, { readonly version: string; readonly text: Buffer }>();
  readonly #lines = new JournalLines();

  constructor(place: ObjectPlace, clock: Clock, segmentBytes = place.maxBytes / 2) {
    this.#place = place;
    this.#clock = clock;
    this.#segmentBytes = segmentBytes;
  }

  async append(entry: JournalEntry): Promise<void> {
    const line = journalLine(entry);
    try {
      for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
        if (await this.#tryAppend(line)) return;
        await pause(this.#clock, PAUSE_MS * Math.random());
      }
    } catch (error) {
      throw translated('journal-unwritable', error);
    }
    const message = `the journal in ${this.#place.description}: ${MAX_ATTEMPTS} times somebody else was first`;
    throw new KeysError('journal-unwritable', message, { hint: 'run the command again' });
  }

  async *read(filter: JournalFilter): AsyncIterable<JournalEntry> {
    try {
      await this.#takeIn();
      if (filter.domain === undefined && filter.intent === undefined) {
        for (const [name, { text }] of this.#segments) {
          yield* entriesOf(text.toString('utf8').split('\n'), {}, name);
        }
        return;
      }
      for (const { segment, start, end } of this.#lines.of(filter)) {
        const line = this.#segments.get(segment)?.text.toString('utf8', start, end) ?? '';
        yield* entriesOf([line], filter, segment);
      }
    } catch (error) {
      throw translated('journal-unreadable', error);
    }
  }

  /** Fetches the segments that are new or grew. */
  async #takeIn(): Promise<void> {
    for (const { name, version } of await this.#place.list('journal')) {
      const known = this.#segments.get(name);
      if (known !== undefined && known.version === version) continue;
      const found = await this.#place.get('journal', name);
      if (found === undefined) continue;
      const text = Buffer.from(found.text);
      this.#lines.feed(name, text.subarray(this.#lines.takenOf(name)));
      this.#segments.set(name, { version: found.version, text });
    }
  }

  /** @returns false when somebody else wrote meanwhile */
  async #tryAppend(line: string): Promise<boolean> {
    this.#last ??= await this.#lastSegment();
    const number = this.#last;
    const name = segmentName(number);
    const segment = await this.#place.get('journal', name);
    // What is full stays full, however short the entry: so segments are in the order of their entries.
    if (segment !== undefined && Buffer.byteLength(segment.text) >= this.#segmentBytes) {
      this.#last = number + 1;
      return await this.#tryAppend(line);
    }
    const put =
      segment === undefined
        ? await this.#place.put('journal', name, line, 'absent')
        : await this.#place.put('journal', name, segment.text + line, segment);
    return put.kind === 'written';
  }

  async #lastSegment(): Promise<number> {
    return Number((await this.#place.list('journal')).at(-1)?.name ?? 1);
  }
}

function segmentName(number: number): string {
  return String(number).padStart(6, '0');
}

function translated(code: string, error: unknown): unknown {
  if (!(error instanceof KeysError) || error.code.startsWith('journal-')) return error;
  const hint = error.hint === undefined ? {} : { hint: error.hint };
  return new KeysError(code, `the journal: ${error.message}`, hint);
}
