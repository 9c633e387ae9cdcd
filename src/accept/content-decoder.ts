import type { ContentFacts } from '../mail/transaction.ts';

/*
 * DATA content as the client sends it → normalised content (RFC 5321 section 4.5.2).
 *
 * States between two chunks, and what each means:
 *
 * - `line-start`: after CRLF, or before the first octet: a dot here is no content;
 * - `text`: anywhere else;
 * - `cr`: a CR was seen in a line; it is held, for it may be half of a CRLF;
 * - `dot`: a dot was seen at a line's start; it is held, for it may be the end;
 * - `dot-cr`: a dot and a CR were seen at a line's start;
 * - `ended`: CRLF.CRLF was seen. Nothing else ends the content.
 *
 * A bare LF becomes CRLF, a bare CR a space, a NUL a space (its message is refused). The first
 * octet after a bare LF is not at a line's start in the client's eyes, so a dot there is content.
 * What comes out may well hold a line with a lone dot: it is content, and is encoded afresh for
 * each MX.
 *
 * Speed matters here: each octet of each message comes by. Text is searched for CR, LF and NUL four
 * words at a time, and a chunk without surprises is passed on as it is. The decoder owns the chunks
 * that it gets: a bare CR is overwritten in place and the text after a removed dot is moved to the
 * left in its own chunk; only a bare LF, which makes text longer, costs a new buffer.
 */
type State = 'line-start' | 'text' | 'cr' | 'dot' | 'dot-cr' | 'ended';

/** What a chunk came to. */
export interface Decoded {
  /** Pieces of normalised content, in order; none is empty. */
  readonly pieces: readonly Buffer[];
  /** Once the end was seen: what follows it in this chunk, the next command. */
  readonly rest: Buffer | undefined;
}

const NUL = 0;
const LF = 10;
const CR = 13;
const SPACE = 32;
const DOT = 46;
const CRLF = Buffer.from('\r\n');
const ONE_SPACE = Buffer.from(' ');

/** Decodes the content of one DATA, in any chunks. */
export class ContentDecoder {
  #state: State = 'line-start';
  #bytes = 0;
  #strayLineEnds = false;
  #nul = false;
  #longestLine = 0;
  /** Octets of the current line that earlier chunks held. */
  #lineBytes = 0;

  /** What was seen so far; complete once the end was seen. */
  get facts(): ContentFacts {
    return {
      bytes: this.#bytes,
      strayLineEnds: this.#strayLineEnds,
      nul: this.#nul,
      longestLine: Math.max(this.#longestLine, this.#lineBytes),
    };
  }

  /** Octets of normalised content so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes the next chunk. The caller must not use it afterwards.
   *
   * @returns content for the transaction, and what follows the end if it was seen
   */
  push(chunk: Buffer): Decoded {
    const pieces: Buffer[] = [];
    let at = 0;
    while (at < chunk.length && this.#state !== 'ended') {
      at = this.#resolveHeld(chunk, at, pieces);
      if (at < chunk.length && (this.#state === 'text' || this.#state === 'line-start')) {
        at = this.#run(chunk, at, pieces);
      }
    }
    for (const piece of pieces) this.#bytes += piece.length;
    return { pieces, rest: this.#state === 'ended' ? chunk.subarray(at) : undefined };
  }

  /** Decides on octets that the last chunk left open. */
  #resolveHeld(chunk: Buffer, at: number, pieces: Buffer[]): number {
    const octet = chunk[at];
    switch (this.#state) {
      case 'cr':
        if (octet === LF) {
          pieces.push(CRLF);
          this.#endLine(this.#lineBytes);
          this.#state = 'line-start';
          return at + 1;
        }
        this.#strayCr(pieces);
        return at;
      case 'dot':
        this.#state = octet === CR ? 'dot-cr' : 'text';
        return octet === CR ? at + 1 : at;
      case 'dot-cr':
        if (octet === LF) {
          this.#state = 'ended';
          return at + 1;
        }
        this.#strayCr(pieces);
        return at;
      default:
        return at;
    }
  }

  #strayCr(pieces: Buffer[]): void {
    pieces.push(ONE_SPACE);
    this.#strayLineEnds = true;
    this.#lineBytes += 1;
    this.#state = 'text';
  }

  #endLine(lineBytes: number): void {
    if (lineBytes > this.#longestLine) this.#longestLine = lineBytes;
    this.#lineBytes = 0;
  }

  /**
   * Goes through a chunk from a place where nothing is held, to its end or to the end of content.
   * `start` to `at` is text that stays as it is; what was changed before it lies ready in `out`.
   */
  #run(chunk: Buffer, from: number, pieces: Buffer[]): number {
    const { length } = chunk;
    const words = wordsOf(chunk);
    const out = new Compactor(chunk, from);
    let at = from;
    let line = from - this.#lineBytes;
    let lineStart = this.#state === 'line-start';
    for (;;) {
      if (lineStart && chunk[at] === DOT) {
        const next = at + 1;
        if (next === length || (chunk[next] === CR && next + 1 === length)) {
          out.finish(at, pieces);
          this.#lineBytes = 0;
          this.#state = next === length ? 'dot' : 'dot-cr';
          return length;
        }
        out.skip(at, next);
        if (chunk[next] === CR && chunk[next + 1] === LF) {
          out.finish(next, pieces);
          this.#lineBytes = 0;
          this.#state = 'ended';
          return next + 2;
        }
        line = next;
        at = next;
      }
      lineStart = false;
      at = nextLineOctet(chunk, words, at);
      if (at >= length) break;
      const octet = chunk[at];
      if (octet === CR && at + 1 === length) {
        out.finish(at, pieces);
        this.#lineBytes = at - line;
        this.#state = 'cr';
        return length;
      }
      if (octet === CR && chunk[at + 1] === LF) {
        if (at - line > this.#longestLine) this.#longestLine = at - line;
        at += 2;
        line = at;
        lineStart = true;
        if (at === length) break;
      } else if (octet === LF) {
        this.#strayLineEnds = true;
        if (at - line > this.#longestLine) this.#longestLine = at - line;
        out.insertCr(at);
        at += 1;
        line = at;
      } else {
        if (octet === CR) this.#strayLineEnds = true;
        else this.#nul = true;
        chunk[at] = SPACE;
        at += 1;
      }
    }
    out.finish(length, pieces);
    this.#lineBytes = length - line;
    this.#state = lineStart ? 'line-start' : 'text';
    return length;
  }
}

/** Puts the kept runs of one chunk together, in place for as long as the text only shrinks. */
class Compactor {
  readonly #source: Buffer;
  #target: Buffer;
  #targetStart: number;
  #targetEnd: number;
  /** Where the run begins that is kept and not yet copied. */
  #runStart: number;

  constructor(source: Buffer, start: number) {
    this.#source = source;
    this.#target = source;
    this.#targetStart = start;
    this.#targetEnd = start;
    this.#runStart = start;
  }

  /** Leaves out what stands from `at` to `next`. */
  skip(at: number, next: number): void {
    this.#keep(at);
    this.#runStart = next;
  }

  /** Puts a CR before the LF at `at`. */
  insertCr(at: number): void {
    this.#keep(at);
    if (this.#target === this.#source) this.#moveOut(at);
    this.#target[this.#targetEnd] = CR;
    this.#targetEnd += 1;
    this.#runStart = at;
  }

  /** Keeps the rest up to `end` and gives away the piece, if there is one. */
  finish(end: number, pieces: Buffer[]): void {
    this.#keep(end);
    if (this.#targetEnd > this.#targetStart) {
      pieces.push(this.#target.subarray(this.#targetStart, this.#targetEnd));
    }
  }

  #keep(end: number): void {
    const count = end - this.#runStart;
    if (this.#target !== this.#source || this.#targetEnd !== this.#runStart) {
      this.#source.copy(this.#target, this.#targetEnd, this.#runStart, end);
    }
    this.#targetEnd += count;
  }

  /** Goes on in a new buffer that has room for a CR before each further LF. */
  #moveOut(at: number): void {
    let lineFeeds = 0;
    for (let lf = at; lf >= 0; lf = this.#source.indexOf(LF, lf + 1)) lineFeeds += 1;
    const kept = this.#targetEnd - this.#targetStart;
    const target = Buffer.allocUnsafeSlow(kept + this.#source.length - at + lineFeeds);
    this.#source.copy(target, 0, this.#targetStart, this.#targetEnd);
    this.#target = target;
    this.#targetStart = 0;
    this.#targetEnd = kept;
  }
}

/** The aligned words that lie wholly before the end of a chunk; the first may begin before it. */
function wordsOf(chunk: Buffer): Int32Array {
  const start = chunk.byteOffset & ~3;
  return new Int32Array(chunk.buffer, start, (chunk.byteOffset + chunk.length - start) >> 2);
}

/** Each octet less than 0x0e sets its top bit; above the first one set others may be wrong. */
const LESS_THAN = 0x0e0e0e0e;
const TOP_BITS = 0x80808080 | 0;

/**
 * Finds the next CR, LF or NUL, a word of four octets at a time (Mycroft's test for octets under a
 * bound). Other octets under 0x0e, mostly TAB, stop the search for a moment only.
 *
 * @returns its index, or a value not less than the chunk's length
 */
function nextLineOctet(chunk: Buffer, words: Int32Array, from: number): number {
  const shift = chunk.byteOffset & 3;
  let index = (from + shift) >> 2;
  const end = words.length;
  // Octets of the first word that lie before `from` are made harmless.
  let before = (1 << (((from + shift) & 3) << 3)) - 1;
  while (index < end) {
    let word = (words[index] as number) | before;
    let hits = (word - LESS_THAN) & ~word & TOP_BITS;
    before = 0;
    while (hits === 0 && ++index < end) {
      word = words[index] as number;
      hits = (word - LESS_THAN) & ~word & TOP_BITS;
    }
    if (hits === 0) break;
    const inWord = (31 - Math.clz32(hits & -hits)) >> 3;
    const at = (index << 2) + inWord - shift;
    const octet = (word >>> (inWord << 3)) & 0xff;
    if (octet === LF || octet === CR || octet === NUL) return at;
    before = inWord === 3 ? 0 : (1 << ((inWord + 1) << 3)) - 1;
    if (inWord === 3) index += 1;
  }
  let at = Math.max(from, (end << 2) - shift);
  while (at < chunk.length) {
    const octet = chunk[at];
    if (octet === LF || octet === CR || octet === NUL) return at;
    at += 1;
  }
  return at;
}
