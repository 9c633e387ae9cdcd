import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { KeysError } from '../keys-error.ts';
import {
  entriesOf,
  type Journal,
  type JournalEntry,
  type JournalFilter,
  journalLine,
} from './journal.ts';
import type { ObjectPlace } from './object-place.ts';
import { pause } from './pause.ts';

/** Entries that are fetched at the same time. */
const READ_AT_ONCE = 16;
const MAX_ATTEMPTS = 30;
const PAUSE_MS = 200;

/**
 * The journal with one object for each entry, for places where objects are many and small (S3). The
 * name begins with the time, so names sort as entries were written; the domain in it spares reading
 * those of others.
 */
export class EntryJournal implements Journal {
  readonly #place: ObjectPlace;

  constructor(place: ObjectPlace) {
    this.#place = place;
  }

  async append(entry: JournalEntry): Promise<void> {
    const text = journalLine(entry);
    const name = `${entry.at}~${entry.domain ?? ''}~${randomBytes(8).toString('hex')}`;
    try {
      await this.#place.put('journal', name, text, 'absent');
    } catch (error) {
      throw translated('journal-unwritable', error);
    }
  }

  async *read(filter: JournalFilter): AsyncIterable<JournalEntry> {
    const { domain } = filter;
    try {
      const names = (await this.#place.list('journal'))
        .map(({ name }) => name)
        .filter((name) => domain === undefined || name.split('~')[1] === domain);
      for (let start = 0; start < names.length; start += READ_AT_ONCE) {
        const batch = names.slice(start, start + READ_AT_ONCE);
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

/**
 * The journal in numbered segments, for places where objects are few and larger (ConfigMaps). An
 * entry is added by compare-and-set; nothing that stands there is ever changed.
 */
export class SegmentJournal implements Journal {
  readonly #place: ObjectPlace;
  readonly #clock: Clock;
  readonly #segmentBytes: number;
  #last: number | undefined;

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
      for (const { name } of await this.#place.list('journal')) {
        const segment = await this.#place.get('journal', name);
        if (segment !== undefined) yield* entriesOf(segment.text.split('\n'), filter, name);
      }
    } catch (error) {
      throw translated('journal-unreadable', error);
    }
  }

  /** @returns false when somebody else wrote meanwhile */
  async #tryAppend(line: string): Promise<boolean> {
    this.#last ??= await this.#lastSegment();
    const number = this.#last;
    const name = segmentName(number);
    const segment = await this.#place.get('journal', name);
    // What is full stays full, however short the entry: so segments are in the order of their entries.
    if (segment !== undefined && segment.text.length >= this.#segmentBytes) {
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
