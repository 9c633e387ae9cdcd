import {
  continuesField,
  findColon,
  type HeaderField,
  headerField,
  isEmptyLine,
  type MessageHeader,
} from './header-fields.ts';
import { type LocalReply, localReply } from './reply.ts';

/*
 * Where the header ends.
 *
 * RFC 5322 ends it at the first empty line. Messages exist in which another line comes before that,
 * one that is neither a field nor a continuation. Parsers disagree on those: Postfix, Exim and
 * sendmail take the line as the first of the body and put the missing empty line before it; DKIM
 * verifiers take it as part of the header, or give up. A signature made over such octets would hold
 * in front of one of them and break behind the other, and a second From below the line would be seen
 * by some and not by others. So the line ends the header here too, and the empty line is added before
 * it (`separator: 'added'`) before anything is hashed: whoever looks at what is sent sees the header
 * and the body that were signed. That empty line and the fields on top are all that is ever added.
 *
 * A message may begin with such a line or with a continuation; then it has no fields at all. The empty
 * line then also keeps that continuation from being read as part of a field on top.
 *
 * A message that ends within its header has no empty line and no body; it is passed on as it is. If
 * its last line lacks the CRLF (possible in BDAT only), the CRLF is added, since the field needs it.
 */

/** Bounds of a header. */
export interface HeaderLimits {
  /** Octets of all fields together, with folding and line ends, without the empty line. */
  readonly maxHeaderBytes: number;
  /** Fields; `DEFAULT_MAX_FIELDS` is meant for everyone. */
  readonly maxFields: number;
}

/** Real messages have up to a few hundred; each costs memory and work many times its octets. */
export const DEFAULT_MAX_FIELDS = 2000;

/** What the collector says to a piece of content. */
export type HeaderProgress =
  /** The header goes on; all octets so far are kept here. */
  | { readonly kind: 'more' }
  /** The header is complete. `body` are the octets of the body so far: parts of the pieces, no copies. */
  | { readonly kind: 'complete'; readonly header: MessageHeader; readonly body: readonly Buffer[] }
  /** Over a bound. What is left of the message need not be given to the collector. */
  | { readonly kind: 'refused'; readonly reply: LocalReply };

const MORE: HeaderProgress = { kind: 'more' };
const CRLF = Buffer.from('\r\n');
const LF = 0x0a;

/**
 * Collects the header of one message from its content pieces (CRLF line ends only), however they are
 * cut. Work is linear in the octets. After `complete` or `refused` the collector is spent.
 */
export class HeaderCollector {
  readonly #limits: HeaderLimits;
  /** Pieces not yet parsed: they end within a line. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** Whole lines of the header, in runs as they were parsed. */
  readonly #lines: Buffer[] = [];
  #lineBytes = 0;
  /** Start and colon of each field, counted from the start of the message. */
  readonly #starts: number[] = [];
  readonly #colons: number[] = [];

  constructor(limits: HeaderLimits) {
    this.#limits = limits;
  }

  /** Takes a piece, which must not be written to again. */
  push(piece: Buffer): HeaderProgress {
    if (piece.length === 0) return MORE;
    const lastLineEnd = piece.lastIndexOf(LF);
    const unparsed = this.#lineBytes + this.#pendingBytes + piece.length;
    if (lastLineEnd < 0 && unparsed <= this.#limits.maxHeaderBytes + 2) {
      this.#pending.push(piece);
      this.#pendingBytes += piece.length;
      return MORE;
    }
    // At most one line is copied for each piece, and none for most.
    const octets = this.#pending.length === 0 ? piece : this.#joinPending(piece);
    return this.#parse(octets);
  }

  /** The message ended. @returns `complete` or `refused` */
  end(): Exclude<HeaderProgress, { kind: 'more' }> {
    if (this.#pendingBytes === 0) return this.#complete('absent', []);
    // The last line has no CRLF. It is the header's last line, or the body's only one.
    const rest = Buffer.concat(this.#pending);
    const progress = this.#parse(Buffer.concat([rest, CRLF]));
    if (progress.kind === 'more') return this.#complete('absent', []);
    if (progress.kind === 'refused' || progress.header.separator === 'present') return progress;
    return { ...progress, body: [rest] };
  }

  #joinPending(piece: Buffer): Buffer {
    const octets = Buffer.concat([...this.#pending, piece]);
    this.#pending = [];
    this.#pendingBytes = 0;
    return octets;
  }

  /** Parses the lines that are whole. */
  #parse(octets: Buffer): HeaderProgress {
    this.#pending = [];
    this.#pendingBytes = 0;
    let from = 0;
    for (;;) {
      const lineEnd = octets.indexOf(LF, from);
      // One octet more is let pass unread: the CR of the empty line.
      const seen = this.#lineBytes + (lineEnd < 0 ? octets.length - 1 : from);
      if (seen > this.#limits.maxHeaderBytes) return this.#refuseBytes();
      if (lineEnd < 0) break;
      if (isEmptyLine(octets, from)) {
        return this.#finish(octets, from, 'present');
      }
      if (continuesField(octets[from])) {
        if (this.#starts.length === 0) return this.#finish(octets, from, 'added');
      } else {
        const colon = findColon(octets, from, lineEnd);
        if (colon === 'no-field') return this.#finish(octets, from, 'added');
        if (this.#starts.length === this.#limits.maxFields) return this.#refuseFields();
        this.#starts.push(this.#lineBytes + from);
        this.#colons.push(this.#lineBytes + colon);
      }
      from = lineEnd + 1;
    }
    this.#keepLines(octets.subarray(0, from));
    if (from < octets.length) {
      this.#pending = [octets.subarray(from)];
      this.#pendingBytes = octets.length - from;
    }
    return MORE;
  }

  #keepLines(lines: Buffer): void {
    if (lines.length === 0) return;
    this.#lines.push(lines);
    this.#lineBytes += lines.length;
  }

  #finish(octets: Buffer, headerEnd: number, separator: 'present' | 'added'): HeaderProgress {
    const bodyStart = separator === 'present' ? headerEnd + 2 : headerEnd;
    const inOnePiece = this.#lines.length === 0;
    this.#keepLines(octets.subarray(0, headerEnd));
    if (separator === 'present' && inOnePiece) {
      // The usual message: nothing is copied.
      return this.#complete(separator, bodyFrom(octets, bodyStart), octets.subarray(0, bodyStart));
    }
    return this.#complete(separator, bodyFrom(octets, bodyStart));
  }

  #complete(
    separator: MessageHeader['separator'],
    body: readonly Buffer[],
    whole?: Buffer,
  ): Extract<HeaderProgress, { kind: 'complete' }> {
    const octets =
      whole ?? Buffer.concat(separator === 'absent' ? this.#lines : [...this.#lines, CRLF]);
    const fields: HeaderField[] = [];
    for (let index = 0; index < this.#starts.length; index++) {
      const start = this.#starts[index] ?? 0;
      const end = this.#starts[index + 1] ?? this.#lineBytes;
      fields.push(headerField(octets.subarray(start, end), (this.#colons[index] ?? 0) - start));
    }
    return { kind: 'complete', header: { fields, octets, separator }, body };
  }

  #refuseBytes(): Extract<HeaderProgress, { kind: 'refused' }> {
    const text = `The header is over the limit of ${this.#limits.maxHeaderBytes} octets`;
    return { kind: 'refused', reply: localReply(552, '5.3.4', 'header.size', text) };
  }

  #refuseFields(): Extract<HeaderProgress, { kind: 'refused' }> {
    const text = `The header has more than ${this.#limits.maxFields} fields`;
    return { kind: 'refused', reply: localReply(552, '5.3.4', 'header.fields', text) };
  }
}

function bodyFrom(octets: Buffer, start: number): Buffer[] {
  return start < octets.length ? [octets.subarray(start)] : [];
}
