/** One header field of a message (RFC 5322 section 2.2). */
export interface HeaderField {
  /** Field name in lower case, without the WSP that may stand before the colon (section 4.5). */
  readonly name: string;
  /** Octets of the whole field, as received: name, colon, folding, final CRLF. */
  readonly octets: Buffer;
  /** Index of the first octet after the colon. */
  readonly valueStart: number;
}

/** The header section of a message, as it came. */
export interface MessageHeader {
  /** The fields in their order. */
  readonly fields: readonly HeaderField[];
  /**
   * What stands before the body and after the fields that Waxseal puts on top: all fields, and the
   * empty line. Exactly this and then the body goes to the MX, and exactly this is signed.
   */
  readonly octets: Buffer;
  /**
   * The empty line after the fields: `present`: the client sent it; `added`: the fields were
   * followed by a line that is none, so `octets` ends in an empty line of ours; `absent`: the message
   * ended with its header.
   */
  readonly separator: 'present' | 'added' | 'absent';
}

/**
 * Value of a field: unfolded (CRLF removed, the WSP after it kept), outer WSP removed, octets decoded
 * as UTF-8 (RFC 6532); malformed octets become U+FFFD.
 */
export function fieldValue(field: HeaderField): string {
  const text = field.octets.toString('utf8', field.valueStart);
  return text.replaceAll('\r\n', '').replace(OUTER_WSP, '');
}

const OUTER_WSP = /^[ \t]+|(?<![ \t])[ \t]+$/g;

/** Fields of that name, in order. @param name in lower case */
export function fieldsNamed(header: MessageHeader, name: string): HeaderField[] {
  return header.fields.filter((field) => field.name === name);
}

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SP = 0x20;
const COLON = 0x3a;

/**
 * Looks for the field name at the start of a line: printable ASCII without colon, then WSP (obsolete
 * syntax, RFC 5322 section 4.5), then the colon. Stops at the first octet that cannot be.
 *
 * @returns index of the colon; `no-field` when the line cannot begin a field
 */
export function findColon(octets: Uint8Array, from: number, end: number): number | 'no-field' {
  let index = from;
  while (index < end) {
    const octet = octets[index] as number;
    if (octet === COLON) return index === from ? 'no-field' : index;
    if (octet <= SP || octet >= 0x7f) break;
    index += 1;
  }
  if (index === from) return 'no-field';
  while (index < end && (octets[index] === SP || octets[index] === TAB)) index += 1;
  return octets[index] === COLON && index < end ? index : 'no-field';
}

/** True for the first octet of a continuation line (RFC 5322 section 2.2.3). */
export function continuesField(octet: number | undefined): boolean {
  return octet === SP || octet === TAB;
}

/** True if a line is empty: CRLF and nothing else. */
export function isEmptyLine(octets: Uint8Array, from: number): boolean {
  return octets[from] === CR && octets[from + 1] === LF;
}

/**
 * Makes a field of its octets.
 *
 * @param octets the whole field with its final CRLF
 * @param colon index of the colon in it, as `findColon` gave it
 */
export function headerField(octets: Buffer, colon: number): HeaderField {
  let nameEnd = colon;
  while (continuesField(octets[nameEnd - 1])) nameEnd -= 1;
  return {
    name: octets.toString('latin1', 0, nameEnd).toLowerCase(),
    octets,
    valueStart: colon + 1,
  };
}

/**
 * Makes a field of a name and a value of our own. The caller has made sure that neither holds
 * anything a client could use to end the line.
 *
 * @param value value with its folding, without the final CRLF
 */
export function fieldOf(name: string, value: string): HeaderField {
  return headerField(Buffer.from(`${name}: ${value}\r\n`, 'utf8'), name.length);
}
