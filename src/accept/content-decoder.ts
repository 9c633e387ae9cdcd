import { coversItsMemory } from '../base/free-buffer.ts';
import { ContentScan, KERNEL_BLOCK_BYTES } from '../base/kernels/octet-kernels.ts';
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
 * Speed matters here: each octet of each message comes by. Text is searched by a kernel, sixteen octets
 * at a time, and a chunk without surprises is passed on as it is. The decoder owns the chunks
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
  /** The one piece is all that is still wanted of the chunk, and no other buffer has its memory. */
  readonly sole: boolean;
}

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
    const coversMemory = coversItsMemory(chunk);
    let at = 0;
    while (at < chunk.length && this.#state !== 'ended') {
      at = this.#resolveHeld(chunk, at, pieces);
      if (at < chunk.length && (this.#state === 'text' || this.#state === 'line-start')) {
        const block = chunk.subarray(at, at + KERNEL_BLOCK_BYTES);
        at += this.#run(block, pieces);
      }
    }
    for (const piece of pieces) this.#bytes += piece.length;
    const rest = this.#state === 'ended' ? chunk.subarray(at) : undefined;
    const [piece] = pieces;
    const sole =
      pieces.length === 1 && rest === undefined && coversMemory && piece?.buffer === chunk.buffer;
    return { pieces, rest, sole };
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
   * Goes through a block from a place where nothing is held, to its end or to the end of content.
   * What needs no change stays where it is.
   */
  #run(block: Buffer, pieces: Buffer[]): number {
    const { length } = block;
    const scan = new ContentScan(block, -this.#lineBytes);
    const out = new Compactor(block);
    let atLineStart = this.#state === 'line-start';
    /** Where the line after a bare LF begins: for the client that is no line's start. */
    let afterBareLf = -1;
    let at = 0;
    for (;;) {
      at = scan.next(at, atLineStart);
      atLineStart = false;
      if (at === length) break;
      const octet = block[at];
      const next = at + 1;
      if (octet === DOT) {
        if (next === length || (block[next] === CR && next + 1 === length)) {
          return this.#hold(next === length ? 'dot' : 'dot-cr', out, at, at, scan, pieces);
        }
        out.skip(at, next);
        if (block[next] === CR && block[next + 1] === LF) {
          this.#hold('ended', out, next, next, scan, pieces);
          return next + 2;
        }
        scan.line = next;
      } else if (octet === LF) {
        this.#strayLineEnds = true;
        scan.longest = Math.max(scan.longest, at - scan.line);
        out.insertCr(at);
        scan.line = next;
        afterBareLf = next;
      } else if (octet === CR && next === length) {
        return this.#hold('cr', out, at, scan.line, scan, pieces);
      } else {
        if (octet === CR) this.#strayLineEnds = true;
        else this.#nul = true;
        block[at] = SPACE;
      }
      at = next;
    }
    const ended = scan.line === length && afterBareLf !== length;
    return this.#hold(ended ? 'line-start' : 'text', out, length, scan.line, scan, pieces);
  }

  /** Leaves a block in a state, with what comes before `end`. @returns the block's length */
  #hold(
    state: State,
    out: Compactor,
    end: number,
    line: number,
    scan: ContentScan,
    pieces: Buffer[],
  ): number {
    out.finish(end, pieces);
    this.#longestLine = Math.max(this.#longestLine, scan.longest);
    this.#lineBytes = end - line;
    this.#state = state;
    return scan.length;
  }
}

/** Puts the kept runs of one chunk together, in place for as long as the text only shrinks. */
class Compactor {
  readonly #source: Buffer;
  #target: Buffer;
  #targetEnd = 0;
  /** Where the run begins that is kept and not yet copied. */
  #runStart = 0;

  constructor(source: Buffer) {
    this.#source = source;
    this.#target = source;
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
    if (this.#targetEnd > 0) pieces.push(this.#target.subarray(0, this.#targetEnd));
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
    const kept = this.#targetEnd;
    const target = Buffer.allocUnsafeSlow(kept + this.#source.length - at + lineFeeds);
    this.#source.copy(target, 0, 0, kept);
    this.#target = target;
  }
}
