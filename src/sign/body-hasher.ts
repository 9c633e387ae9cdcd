import { KERNEL_BLOCK_BYTES, relaxed } from '../base/kernels/octet-kernels.ts';
import { HeldLineEnds } from './held-line-ends.ts';

/** Body canonicalisation, the part of `c=` after the slash (RFC 6376 section 3.4). */
export type BodyCanonicalization = 'simple' | 'relaxed';

/**
 * Hashes a body while it arrives (RFC 6376 section 3.7). One hasher serves every signature with the
 * same body canonicalisation; `l=` is never used.
 */
export interface BodyHasher {
  readonly canonicalization: BodyCanonicalization;
  /**
   * Takes the next piece of the body: CRLF line ends only, cut anywhere, even inside a CRLF. Takes
   * time in proportion to the piece (about a millisecond a megabyte), so pieces should stay under
   * 256 KiB. The piece is not kept.
   */
  update(piece: Uint8Array): void;
  /** Ends the body. @returns its SHA-256, 32 octets; the same each time */
  digest(): Buffer;
}

/** Makes a hasher for a body that has not begun. */
export function createBodyHasher(canonicalization: BodyCanonicalization): BodyHasher {
  return canonicalization === 'relaxed' ? new RelaxedBodyHasher() : new SimpleBodyHasher();
}

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SP = 0x20;
const CR_OCTET = Uint8Array.of(CR);
const SP_OCTET = Uint8Array.of(SP);

/** Section 3.4.3: only the empty lines at the end change. */
class SimpleBodyHasher implements BodyHasher {
  readonly canonicalization = 'simple';
  readonly #out = new HeldLineEnds();
  /** A CR at the end of the last piece, whose LF has not come. */
  #crHeld = false;
  #digest: Buffer | undefined;

  update(piece: Uint8Array): void {
    if (piece.length === 0) return;
    let from = 0;
    if (this.#crHeld) {
      this.#crHeld = false;
      if (piece[0] === LF) {
        this.#out.lineEnd();
        from = 1;
      } else this.#out.write(CR_OCTET);
    }
    let end = piece.length;
    if (end > from && piece[end - 1] === CR) {
      this.#crHeld = true;
      end -= 1;
    }
    this.#out.write(piece.subarray(from, end));
  }

  digest(): Buffer {
    if (this.#digest === undefined) {
      if (this.#crHeld) this.#out.write(CR_OCTET);
      // "If there is no body or no trailing CRLF on the message body, a CRLF is added."
      this.#digest = this.#out.digest(true);
    }
    return this.#digest;
  }
}

/** Section 3.4.4: runs of WSP become one SP, WSP at line ends and empty lines at the end go. */
class RelaxedBodyHasher implements BodyHasher {
  readonly canonicalization = 'relaxed';
  readonly #out = new HeldLineEnds();
  /** WSP at the end of the last piece: dropped if a line end follows, one SP otherwise. */
  #wspHeld = false;
  /** A CR at the end of the last piece, whose LF has not come. */
  #crHeld = false;
  #digest: Buffer | undefined;

  update(piece: Uint8Array): void {
    const from = this.#joinToLast(piece);
    const end = this.#holdEnd(piece, from);
    if (from < end) this.#canonicalise(piece, from, end);
  }

  digest(): Buffer {
    if (this.#digest === undefined) {
      if (this.#crHeld) this.#out.write(CR_OCTET);
      // A body of nothing but empty lines is the empty body here, without a CRLF.
      this.#digest = this.#out.digest(this.#out.hasContent);
    }
    return this.#digest;
  }

  /** Decides on what the last piece left open. @returns the first octet not yet dealt with */
  #joinToLast(piece: Uint8Array): number {
    let from = 0;
    if (this.#crHeld && piece.length > 0) {
      this.#crHeld = false;
      if (piece[0] === LF) {
        this.#out.lineEnd();
        from = 1;
      } else this.#out.write(CR_OCTET);
    }
    if (this.#wspHeld) {
      while (from < piece.length && isWsp(piece[from])) from += 1;
      if (from < piece.length) {
        this.#wspHeld = false;
        if (piece[from] !== CR) this.#out.write(SP_OCTET);
      }
    }
    return from;
  }

  /** Holds back what the next piece decides on. @returns the octet after the last one to deal with */
  #holdEnd(piece: Uint8Array, from: number): number {
    let end = piece.length;
    if (end > from && piece[end - 1] === CR) {
      this.#crHeld = true;
      end -= 1;
      while (end > from && isWsp(piece[end - 1])) end -= 1;
    } else if (end > from && isWsp(piece[end - 1])) {
      this.#wspHeld = true;
      while (end > from && isWsp(piece[end - 1])) end -= 1;
    }
    return end;
  }

  /** `from` stands after a whole run of WSP, and the octet before `end` is no WSP and no CR. */
  #canonicalise(piece: Uint8Array, from: number, end: number): void {
    const firstWsp = Math.min(
      indexWithin(piece, SP, from, end),
      indexWithin(piece, TAB, from, end),
    );
    // Base64 has none, and is hashed where it is.
    if (firstWsp > from) this.#out.write(piece.subarray(from, firstWsp));
    let position = firstWsp;
    while (position < end) {
      const stop = blockEnd(piece, position, end);
      if (stop === position) {
        // A block of nothing but WSP: only the last one of a run can stay.
        while (isWsp(piece[position + 1])) position += 1;
        continue;
      }
      this.#out.write(relaxed(piece.subarray(position, stop)));
      position = stop;
    }
  }
}

function isWsp(octet: number | undefined): boolean {
  return octet === SP || octet === TAB;
}

/** Like indexOf, `end` when there is none before it. The native search is many times a loop's speed. */
function indexWithin(octets: Uint8Array, octet: number, from: number, end: number): number {
  const index = octets.indexOf(octet, from);
  return index < 0 || index > end ? end : index;
}

/** Where a block may end: behind an octet that is neither WSP nor CR; `from` if there is none in it. */
function blockEnd(piece: Uint8Array, from: number, end: number): number {
  if (end - from <= KERNEL_BLOCK_BYTES) return end;
  let stop = from + KERNEL_BLOCK_BYTES;
  while (stop > from && (isWsp(piece[stop - 1]) || piece[stop - 1] === CR)) stop -= 1;
  return stop;
}
