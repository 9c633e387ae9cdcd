import { createHash, type Hash } from 'node:crypto';

/** How many CRLF pairs are written at once when held ones turn out to be content. */
const RUN_PAIRS = 2048;
const CRLF_RUN = Buffer.from('\r\n'.repeat(RUN_PAIRS));

const CR = 0x0d;
const LF = 0x0a;

/**
 * SHA-256 over canonicalised body octets, the empty lines at the end left out (RFC 6376 section
 * 3.4.3 and 3.4.4 b.1). Line ends at the end of what came so far are counted and not kept: they are
 * hashed once content follows, so a body of a million empty lines costs a number.
 */
export class HeldLineEnds {
  readonly #hash: Hash = createHash('sha256');
  #held = 0;
  #hasContent = false;

  /** True once an octet other than those of line ends came. */
  get hasContent(): boolean {
    return this.#hasContent;
  }

  /** Takes one line end. */
  lineEnd(): void {
    this.#held += 1;
  }

  /**
   * Takes canonicalised octets. Their CRLF pairs must be whole: a pair is never split over two calls.
   * The buffer may be written to again as soon as this returns.
   */
  write(octets: Uint8Array): void {
    let end = octets.length;
    while (end >= 2 && octets[end - 1] === LF && octets[end - 2] === CR) end -= 2;
    if (end > 0) {
      this.#release();
      this.#hasContent = true;
      this.#hash.update(end === octets.length ? octets : octets.subarray(0, end));
    }
    this.#held += (octets.length - end) / 2;
  }

  /**
   * Ends the body: the line ends that are still held become one, or none.
   *
   * @param finalLineEnd whether the canonicalised body ends in CRLF
   */
  digest(finalLineEnd: boolean): Buffer {
    if (finalLineEnd) this.#hash.update(CRLF_RUN.subarray(0, 2));
    return this.#hash.digest();
  }

  #release(): void {
    while (this.#held > 0) {
      const pairs = Math.min(this.#held, RUN_PAIRS);
      this.#hash.update(CRLF_RUN.subarray(0, pairs * 2));
      this.#held -= pairs;
    }
  }
}
