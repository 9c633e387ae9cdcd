import { type FileHandle, open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { makeDirectory, syncDirectory, takeOwnerOf } from '../atomic-write.ts';
import { KeysError, systemCode, systemReason } from '../keys-error.ts';
import {
  entriesOf,
  type Journal,
  type JournalEntry,
  type JournalFilter,
  journalLine,
  MAX_ENTRY_BYTES,
} from './journal.ts';
import { JournalLines } from './journal-lines.ts';

const SEGMENT_NAME = /^(\d{6})\.jsonl$/;
const DIRECTORY_MODE = 0o750;
const FILE_MODE = 0o640;
/** A segment that has so many octets is followed by the next one. */
const SEGMENT_BYTES = 4 * 1024 * 1024;
const READ_BYTES = 64 * 1024;
const LINE_END = 0x0a;

/**
 * The journal as JSON lines in `journal/000001.jsonl` … under the keyring's directory. One write
 * with O_APPEND makes an entry (the kernel lets no two of them mix), and fsync keeps it. A writer
 * that died in its write left half a line: the next one ends that line before it begins its own.
 */
export class FileJournal implements Journal {
  readonly #dir: string;
  readonly #segmentBytes: number;
  #lines = new JournalLines();

  /** @param keyringDir `keys.dir` */
  constructor(keyringDir: string, segmentBytes = SEGMENT_BYTES) {
    this.#dir = path.join(keyringDir, 'journal');
    this.#segmentBytes = segmentBytes;
  }

  async append(entry: JournalEntry): Promise<void> {
    const line = Buffer.from(journalLine(entry));
    try {
      await makeDirectory(this.#dir, DIRECTORY_MODE);
      const handle = await this.#openLast();
      try {
        await appendLine(handle, line);
        await handle.sync();
      } finally {
        await handle.close();
      }
    } catch (error) {
      const message = `the journal in ${this.#dir} ${systemReason(error)}`;
      throw new KeysError('journal-unwritable', message, { cause: error });
    }
  }

  async *read(filter: JournalFilter): AsyncIterable<JournalEntry> {
    try {
      const isForAll = filter.domain === undefined && filter.intent === undefined;
      yield* isForAll ? this.#readAll() : this.#readSome(filter);
    } catch (error) {
      if (error instanceof KeysError) throw error;
      const message = `the journal in ${this.#dir} ${systemReason(error)}`;
      throw new KeysError('journal-unreadable', message, { cause: error });
    }
  }

  async *#readAll(): AsyncGenerator<JournalEntry> {
    for (const name of await this.#segments()) {
      for await (const lines of linesOf(path.join(this.#dir, name))) {
        yield* entriesOf(lines, {}, name);
      }
    }
  }

  async *#readSome(filter: JournalFilter): AsyncGenerator<JournalEntry> {
    await this.#takeIn();
    for (const [segment, refs] of Map.groupBy(this.#lines.of(filter), (ref) => ref.segment)) {
      const handle = await open(path.join(this.#dir, segment), 'r');
      try {
        for (const { start, end } of refs) {
          const octets = Buffer.alloc(end - start);
          await handle.read(octets, 0, octets.length, start);
          yield* entriesOf([octets.toString('utf8')], filter, segment);
        }
      } finally {
        await handle.close();
      }
    }
  }

  /** What was appended since the last time, by whomever. */
  async #takeIn(): Promise<void> {
    for (const name of await this.#segments()) {
      const handle = await open(path.join(this.#dir, name), 'r');
      try {
        const { size } = await handle.stat();
        if (size < this.#lines.takenOf(name)) this.#lines = new JournalLines(); // another journal
        const buffer = Buffer.alloc(Math.min(READ_BYTES, size));
        while (this.#lines.takenOf(name) < size) {
          const { bytesRead } = await handle.read(
            buffer,
            0,
            buffer.length,
            this.#lines.takenOf(name),
          );
          const taken = this.#lines.feed(name, buffer.subarray(0, bytesRead));
          if (taken > 0) continue;
          if (bytesRead < READ_BYTES) break; // half a line, for the next time
          this.#lines.skip(name, bytesRead); // longer than any line of ours
        }
      } finally {
        await handle.close();
      }
    }
  }

  async #segments(): Promise<readonly string[]> {
    try {
      return (await readdir(this.#dir)).filter((name) => SEGMENT_NAME.test(name)).sort();
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      const message = `${this.#dir} ${systemReason(error)}`;
      throw new KeysError('journal-unreadable', message, { cause: error });
    }
  }

  async #openLast(): Promise<FileHandle> {
    const last = (await this.#segments()).at(-1) ?? '000001.jsonl';
    const handle = await this.#open(last);
    const { size } = await handle.stat();
    if (size < this.#segmentBytes) return handle;
    await handle.close();
    const number = Number(SEGMENT_NAME.exec(last)?.[1]) + 1;
    return await this.#open(`${String(number).padStart(6, '0')}.jsonl`);
  }

  async #open(name: string): Promise<FileHandle> {
    const handle = await open(path.join(this.#dir, name), 'a+', FILE_MODE);
    try {
      if ((await handle.stat()).size === 0) {
        await takeOwnerOf(this.#dir, handle);
        await syncDirectory(this.#dir);
      }
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }
}

async function appendLine(handle: FileHandle, line: Buffer): Promise<void> {
  const { size } = await handle.stat();
  const last = Buffer.alloc(1, LINE_END);
  if (size > 0) await handle.read(last, 0, 1, size - 1);
  const whole = last[0] === LINE_END ? line : Buffer.concat([Buffer.of(LINE_END), line]);
  const { bytesWritten } = await handle.write(whole);
  // A full disk takes a part; a second write would not be one piece with the first.
  if (bytesWritten < whole.length)
    throw Object.assign(new Error('short write'), { code: 'ENOSPC' });
}

/** The lines of a file, batch by batch; a line that is too long is given in pieces. */
async function* linesOf(file: string): AsyncGenerator<readonly string[]> {
  const handle = await open(file, 'r');
  try {
    const buffer = Buffer.alloc(READ_BYTES);
    let rest = Buffer.alloc(0);
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length);
      if (bytesRead === 0) break;
      const held = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      const end = held.lastIndexOf(LINE_END);
      rest = Buffer.from(held.subarray(end + 1));
      if (end >= 0) yield held.toString('utf8', 0, end).split('\n');
      if (rest.length > 4 * MAX_ENTRY_BYTES) {
        yield [rest.toString('utf8')];
        rest = Buffer.alloc(0);
      }
    }
    if (rest.length > 0) yield [rest.toString('utf8')];
  } finally {
    await handle.close();
  }
}
