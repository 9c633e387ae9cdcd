const DOT = 0x2e;
const CR = 0x0d;
const LF = 0x0a;
const LINE_STARTING_WITH_DOT = Buffer.from('\n.');

const END_AT_LINE_START = Buffer.from('.\r\n');
const END_AFTER_CR = Buffer.from('\n.\r\n');
const END_IN_LINE = Buffer.from('\r\n.\r\n');

/**
 * Makes content transparent for DATA (RFC 5321 section 4.5.2): a line that starts with a dot gets
 * another one, and the end of data is `<CRLF>.<CRLF>`. A piece without such a line is passed on as
 * it is, not copied. A dot behind a bare LF is doubled too: the content should have none, and a
 * server that takes a bare LF for a line end must not see an end of data there.
 */
export class DotEncoder {
  /** The octet before the next piece; the start of the content counts as a line start. */
  #last = LF;
  #beforeLast = CR;

  /**
   * @param piece any part of the content, cut anywhere
   * @returns its encoding: the same buffer when nothing had to be changed, else a new one
   */
  encode(piece: Buffer): Buffer {
    if (piece.length === 0) return piece;
    const startsWithDot = this.#last === LF && piece[0] === DOT;
    this.#remember(piece);
    let at = piece.indexOf(LINE_STARTING_WITH_DOT);
    if (at < 0 && !startsWithDot) return piece;
    // Offsets of the dots that are to be doubled.
    const dots: number[] = startsWithDot ? [0] : [];
    while (at >= 0) {
      dots.push(at + 1);
      at = piece.indexOf(LINE_STARTING_WITH_DOT, at + 2);
    }
    // Not of Node's pool, so that the writer can free it.
    const encoded = Buffer.allocUnsafeSlow(piece.length + dots.length);
    let read = 0;
    let written = 0;
    for (const dot of dots) {
      written += piece.copy(encoded, written, read, dot + 1);
      read = dot;
    }
    piece.copy(encoded, written, read);
    return encoded;
  }

  /**
   * @returns the end of data; completes the last line first when it lacks its CRLF, since DATA has
   *   no way to carry content that does not end in one
   */
  end(): Buffer {
    if (this.#last === LF && this.#beforeLast === CR) return END_AT_LINE_START;
    return this.#last === CR ? END_AFTER_CR : END_IN_LINE;
  }

  #remember(piece: Buffer): void {
    this.#beforeLast = piece.length > 1 ? (piece[piece.length - 2] ?? 0) : this.#last;
    this.#last = piece[piece.length - 1] ?? 0;
  }
}
