import { freeBuffer } from '../base/free-buffer.ts';
import { SLAB_BYTES, type SlabPool } from './slab-pool.ts';

/** Up to so many octets pieces are kept as they came: most messages, and not worth a copy. */
const KEPT_BYTES = 16 * 1024;

/**
 * Pieces of content in order: a few as they came, more than that copied together into slabs, so
 * that the buffers that a socket read into can be given back.
 */
export class GatheredPieces {
  readonly #pool: SlabPool;
  #pieces: Buffer[] = [];
  #slabs: Buffer[] = [];
  /** Octets in the last slab. */
  #filled = SLAB_BYTES;
  #bytes = 0;

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * @param piece is not to be written to any more
   * @param sole nobody else looks at the memory of the piece, so it may be freed
   */
  add(piece: Buffer, sole: boolean): void {
    this.#bytes += piece.length;
    if (this.#slabs.length === 0) {
      if (this.#bytes <= KEPT_BYTES) {
        this.#pieces.push(piece);
        return;
      }
      for (const kept of this.#pieces) this.#copy(kept);
      this.#pieces = [];
    }
    this.#copy(piece);
    if (sole) freeBuffer(piece);
  }

  /** All octets; the buffers are good until `giveBack`. */
  get buffers(): readonly Buffer[] {
    if (this.#slabs.length === 0) return this.#pieces;
    const last = this.#slabs.length - 1;
    return this.#slabs.map((slab, index) =>
      index === last && this.#filled < SLAB_BYTES ? slab.subarray(0, this.#filled) : slab,
    );
  }

  /** Empties it; nobody, the kernel included, looks at the octets any more. */
  giveBack(): void {
    for (const slab of this.#slabs) this.#pool.give(slab);
    this.forget();
  }

  /** Empties it; somebody may still look at the octets. */
  forget(): void {
    this.#pieces = [];
    this.#slabs = [];
    this.#filled = SLAB_BYTES;
    this.#bytes = 0;
  }

  #copy(piece: Buffer): void {
    let from = 0;
    while (from < piece.length) {
      if (this.#filled === SLAB_BYTES) {
        this.#slabs.push(this.#pool.take());
        this.#filled = 0;
      }
      const slab = this.#slabs[this.#slabs.length - 1];
      if (slab === undefined) return;
      const count = piece.copy(slab, this.#filled, from);
      this.#filled += count;
      from += count;
    }
  }
}
