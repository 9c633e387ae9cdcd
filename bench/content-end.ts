/** Finds the end of data, `<CRLF>.<CRLF>`, in content that comes in pieces (RFC 5321 section 4.5.2). */

const END = Buffer.from('\r\n.\r\n');

export class ContentEnd {
  /** The last octets seen, at most four; starts as the CRLF of the DATA command. */
  #tail: Buffer = Buffer.from('\r\n');

  /** @returns the offset in `piece` just after the final dot's CRLF, or -1 */
  find(piece: Buffer): number {
    const tailLength = this.#tail.length;
    const seam = Buffer.concat([this.#tail, piece.subarray(0, END.length - 1)]);
    const atSeam = seam.indexOf(END);
    const found = atSeam >= 0 ? atSeam - tailLength : piece.indexOf(END);
    if (atSeam >= 0 || found >= 0) {
      this.#tail = Buffer.from('\r\n');
      return found + END.length;
    }
    this.#tail =
      piece.length >= END.length - 1
        ? Buffer.from(piece.subarray(piece.length - (END.length - 1)))
        : Buffer.from(seam.subarray(-(END.length - 1)));
    return -1;
  }
}
