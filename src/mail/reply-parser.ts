/**
 * What the parser found: a complete reply, or that the server broke the grammar of RFC 5321
 * section 4.2. After a malformed reply nothing more is parsed: what follows cannot be trusted to
 * start at the start of a line.
 */
export type ParsedReply =
  | { readonly kind: 'reply'; readonly code: number; readonly lines: readonly string[] }
  | { readonly kind: 'malformed'; readonly what: string };

export interface ReplyBounds {
  /** Lines that one reply may have. */
  readonly maxLines: number;
  /** Octets that one reply may have, line ends included. */
  readonly maxBytes: number;
}

const DEFAULT_BOUNDS: ReplyBounds = { maxLines: 64, maxBytes: 8192 };
const LF = 0x0a;
const NOTHING: readonly ParsedReply[] = [];
const LINE = /^([2-5][0-9][0-9])(?:([ -])(.*))?$/s;

/**
 * Octets of an SMTP server in, complete replies out (RFC 5321 section 4.2.1). Text is decoded as
 * latin1, one character for each octet, and kept as it is; making it safe is left to rendering.
 * How the octets are cut into chunks makes no difference to the result.
 */
export class ReplyParser {
  readonly #bounds: ReplyBounds;
  /** Octets of the line that has not ended yet. */
  #held = '';
  /** Octets of the lines of the current reply that have ended. */
  #replyBytes = 0;
  #code = 0;
  #lines: string[] = [];
  #broken = false;

  /** @param bounds what one reply may take; 64 lines and 8 KiB unless told otherwise */
  constructor(bounds: ReplyBounds = DEFAULT_BOUNDS) {
    this.#bounds = bounds;
  }

  /** True while a reply has begun and not ended. */
  get pending(): boolean {
    return !this.#broken && (this.#held.length > 0 || this.#lines.length > 0);
  }

  /** @returns what was completed by this chunk, in order; a malformed reply is always the last */
  push(chunk: Buffer): readonly ParsedReply[] {
    if (this.#broken || chunk.length === 0) return NOTHING;
    if (chunk.indexOf(LF) < 0) {
      // Only lengthened: the line is not scanned again until it ends.
      this.#held += chunk.toString('latin1');
      if (this.#replyBytes + this.#held.length <= this.#bounds.maxBytes) return NOTHING;
      return [this.#malformed(this.#tooLong())];
    }
    const text = this.#held + chunk.toString('latin1');
    const found: ParsedReply[] = [];
    let start = 0;
    for (;;) {
      const end = text.indexOf('\n', start);
      if (end < 0) break;
      const item = this.#endOfLine(text, start, end);
      start = end + 1;
      if (item !== undefined) found.push(item);
      if (this.#broken) return found;
    }
    this.#held = text.slice(start);
    if (this.#replyBytes + this.#held.length > this.#bounds.maxBytes) {
      found.push(this.#malformed(this.#tooLong()));
    }
    return found;
  }

  #endOfLine(text: string, start: number, end: number): ParsedReply | undefined {
    this.#replyBytes += end + 1 - start;
    // First of all checks, so that the finding does not depend on the chunks.
    if (this.#replyBytes > this.#bounds.maxBytes) return this.#malformed(this.#tooLong());
    if (end === start || text.charCodeAt(end - 1) !== 0x0d) {
      return this.#malformed('a reply line ends in a bare LF');
    }
    const line = text.slice(start, end - 1);
    if (line.includes('\r')) return this.#malformed('a bare CR stands in a reply');
    if (line.includes('\0')) return this.#malformed('a NUL stands in a reply');
    const match = LINE.exec(line);
    if (match === null) return this.#malformed(describeLine(line));
    const code = Number(match[1]);
    if (this.#lines.length > 0 && code !== this.#code) {
      return this.#malformed(`the lines of a reply have differing codes (${this.#code}, ${code})`);
    }
    if (this.#lines.length >= this.#bounds.maxLines) {
      return this.#malformed(`a reply has more than ${this.#bounds.maxLines} lines`);
    }
    this.#code = code;
    this.#lines.push(match[3] ?? '');
    if (match[2] === '-') return undefined;
    const reply: ParsedReply = { kind: 'reply', code, lines: this.#lines };
    this.#lines = [];
    this.#replyBytes = 0;
    return reply;
  }

  #tooLong(): string {
    return `a reply is longer than ${this.#bounds.maxBytes} octets`;
  }

  #malformed(what: string): ParsedReply {
    this.#broken = true;
    this.#held = '';
    this.#lines = [];
    return { kind: 'malformed', what };
  }
}

function describeLine(line: string): string {
  if (line === '') return 'an empty line stands where a reply should be';
  if (/^[2-5][0-9][0-9]/.test(line)) return 'a reply code has no separator behind it';
  return 'a reply does not start with a code from 200 to 599';
}
