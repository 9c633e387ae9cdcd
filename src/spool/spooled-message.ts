import type { Clock } from '../base/clock.ts';
import { WaxsealError } from '../base/errors.ts';
import type { Budget } from './budget.ts';
import { GatheredPieces } from './gathered-pieces.ts';
import type { SlabPool } from './slab-pool.ts';
import { SpoolFile } from './spool-file.ts';

export interface SpoolOptions {
  /** Directory of the unlinked files; must exist and be writable. */
  readonly dir: string;
  /** Octets of one message that stay in memory; a longer one goes to a file. */
  readonly messageMemoryBytes: number;
  /** Octets in memory of all messages together. */
  readonly memoryBytes: number;
  /** Octets on disk of all messages together. */
  readonly diskBytes: number;
  /** How long a message may wait for room before it is refused, in milliseconds. */
  readonly waitMs: number;
}

/**
 * The message could not be kept: `spool-full` (no room within `waitMs`), `spool-io` (the file
 * system refused) or `spool-released` (the transaction ended meanwhile).
 */
export class SpoolError extends WaxsealError {}

/** Octets that may wait for the disk before the writer has to pause. */
const MAX_PENDING_BYTES = 128 * 1024;

/**
 * States of a message in the spool:
 *
 * - `memory`: all of it is in `kept`, charged to the memory budget.
 * - `file`: all of it is in the file but for `pending`, which a writer is taking there.
 * - `failed`: it could not be kept; every later write fails with the same error.
 * - `released`: given up or delivered; nothing is held any more.
 */
type State =
  | { readonly kind: 'memory'; readonly kept: GatheredPieces }
  | { readonly kind: 'file'; readonly file: SpoolFile }
  | { readonly kind: 'failed'; readonly error: SpoolError }
  | { readonly kind: 'released' };

/** One message: written once, then read by a leg, more than once if the leg has to be rebuilt. */
export class SpooledMessage {
  readonly #options: SpoolOptions;
  readonly #memory: Budget;
  readonly #disk: Budget;
  readonly #clock: Clock;
  /** Made when something waits: most messages never do, and an abort is not free. */
  #end: AbortController | undefined;
  readonly #slabs: SlabPool;
  #state: State;
  #bytes = 0;
  #memoryCharge = 0;
  #diskCharge = 0;
  #pending: GatheredPieces;
  /** Octets on their way to the file. */
  #batchBytes = 0;
  /** Time spent waiting for room on disk. */
  #waitedMs = 0;
  #writing: Promise<void> | undefined;

  constructor(options: SpoolOptions, memory: Budget, disk: Budget, slabs: SlabPool, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#memory = memory;
    this.#disk = disk;
    this.#slabs = slabs;
    this.#pending = new GatheredPieces(slabs);
    this.#state = { kind: 'memory', kept: this.#pending };
  }

  /** Octets written so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Appends a piece, which must not be written to any more.
   *
   * @param sole nobody else looks at the memory behind the piece; it may be freed
   * @returns a promise when the writer has to wait before the next piece
   * @throws SpoolError (also as the promise's rejection)
   */
  write(piece: Buffer, sole = false): void | Promise<void> {
    const state = this.#state;
    if (state.kind === 'failed') throw state.error;
    if (state.kind === 'released') return;
    const { length } = piece;
    this.#bytes += length;
    if (state.kind === 'memory') {
      if (this.#bytes <= this.#options.messageMemoryBytes && this.#memory.tryTake(length)) {
        this.#memoryCharge += length;
        state.kept.add(piece, sole);
        return;
      }
      this.#state = { kind: 'file', file: new SpoolFile(this.#options.dir) };
      this.#pending = state.kept;
    }
    this.#pending.add(piece, sole);
    if (this.#writing === undefined) {
      this.#writing = this.#drain();
      // A writer that does not wait meets the failure at its next call.
      this.#writing.catch(() => undefined);
    }
    return this.#pending.bytes + this.#batchBytes > MAX_PENDING_BYTES ? this.#writing : undefined;
  }

  /**
   * Waits until all that was written can be read back.
   *
   * @throws SpoolError
   */
  async finish(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#state.kind === 'failed') throw this.#state.error;
  }

  /** The whole message if it is in memory, else undefined. */
  buffers(): readonly Buffer[] | undefined {
    return this.#state.kind === 'memory' ? this.#state.kept.buffers : undefined;
  }

  /**
   * The message from its beginning, in buffers for the caller to free; call `finish` first.
   *
   * @throws SpoolError when the file cannot be read
   */
  async *chunks(): AsyncGenerator<Buffer> {
    const state = this.#state;
    if (state.kind === 'memory') for (const buffer of state.kept.buffers) yield Buffer.from(buffer);
    else if (state.kind === 'file') yield* state.file.read();
    else if (state.kind === 'failed') throw state.error;
    else throw new SpoolError('spool-released', 'the message is no longer in the spool');
  }

  /**
   * Gives everything back. May be called at any time, and again.
   *
   * @param settled nobody, the kernel included, looks at the buffers that `buffers` gave
   */
  release(settled = false): void {
    const state = this.#state;
    if (state.kind === 'released') return;
    this.#state = { kind: 'released' };
    this.#end?.abort();
    if (settled || state.kind === 'file') this.#pending.giveBack();
    else this.#pending.forget();
    if (state.kind === 'file') void state.file.close();
    this.#memory.give(this.#memoryCharge);
    this.#disk.give(this.#diskCharge);
    this.#memoryCharge = 0;
    this.#diskCharge = 0;
  }

  /** Takes what is pending to the file until nothing is. */
  async #drain(): Promise<void> {
    try {
      while (this.#pending.bytes > 0 && this.#state.kind === 'file') {
        await this.#writeBatch(this.#state.file);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#writing = undefined;
    }
    if (this.#state.kind === 'failed') throw this.#state.error;
  }

  async #writeBatch(file: SpoolFile): Promise<void> {
    // What comes in from now on is the next batch's.
    const batch = this.#pending;
    const { bytes } = batch;
    this.#pending = new GatheredPieces(this.#slabs);
    this.#batchBytes = bytes;
    await this.#takeDisk(bytes);
    if (this.#state.kind !== 'file') {
      this.#disk.give(bytes);
      batch.giveBack();
      return;
    }
    this.#diskCharge += bytes;
    await file.append(batch.buffers);
    batch.giveBack();
    this.#batchBytes = 0;
    this.#memory.give(this.#memoryCharge);
    this.#memoryCharge = 0;
  }

  /** Waits for room; all waits of a message together may take `waitMs`. */
  async #takeDisk(bytes: number): Promise<void> {
    if (this.#disk.tryTake(bytes)) return;
    const { waitMs } = this.#options;
    this.#end ??= new AbortController();
    const startMs = this.#clock.monotonicMs();
    const granted = await this.#disk.take(bytes, waitMs - this.#waitedMs, this.#end.signal);
    this.#waitedMs += this.#clock.monotonicMs() - startMs;
    if (!granted) throw new SpoolError('spool-full', `no room in the spool for ${waitMs} ms`);
  }

  #fail(cause: unknown): void {
    const state = this.#state;
    if (state.kind !== 'file') return;
    const error =
      cause instanceof SpoolError
        ? cause
        : new SpoolError('spool-io', `the spool in ${this.#options.dir} cannot be written`, {
            cause,
          });
    this.release();
    this.#state = { kind: 'failed', error };
  }
}
