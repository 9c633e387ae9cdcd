import { freeBuffer } from '../base/free-buffer.ts';

/** Octets of a slab. */
export const SLAB_BYTES = 32 * 1024;
/** Slabs that wait for their next use; what is given back beyond that is freed. */
const MAX_FREE = 512;

/**
 * Buffers of one size that messages fill one after the other, so that content does not become
 * garbage. A slab belongs to whoever took it until it is given back.
 */
export class SlabPool {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
  }

  /** Nobody, the kernel included, may look at the slab any more. */
  give(slab: Buffer): void {
    if (this.#free.length < MAX_FREE) this.#free.push(slab);
    else freeBuffer(slab);
  }

  /** Slabs that wait. */
  get freeCount(): number {
    return this.#free.length;
  }
}
