/**
 * The little of the DNS message format (RFC 1035 section 4) that dynamic update and TSIG need and
 * dns-packet lacks: classes NONE and ANY, records without data, and the exact place of the last
 * record. Names are written without compression, as TSIG wants them (RFC 8945 section 4.3.3).
 */

export const TYPE = { CNAME: 5, SOA: 6, TXT: 16, TSIG: 250, ANY: 255 } as const;
export const CLASS = { IN: 1, NONE: 254, ANY: 255 } as const;

const MAX_LABEL_OCTETS = 63;
const MAX_STRING_OCTETS = 255;
const HEADER_OCTETS = 12;
/** Pointers in one name; more is a loop. */
const MAX_POINTERS = 64;

/** A record to be written; its data as it stands on the wire. */
export interface WireRecord {
  /** Normalised name. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttlS: number;
  readonly data: Buffer;
}

/** A name without compression, lower case (RFC 4034 section 6.2). */
export function wireName(name: string): Buffer {
  const labels = name === '' ? [] : name.toLowerCase().split('.');
  const pieces = labels.map((label) => {
    const octets = Buffer.from(label, 'latin1');
    if (octets.length === 0 || octets.length > MAX_LABEL_OCTETS) {
      throw new RangeError(`not a name that DNS can hold: ${name}`);
    }
    return Buffer.concat([Buffer.from([octets.length]), octets]);
  });
  const octets = Buffer.concat([...pieces, Buffer.from([0])]);
  if (octets.length > 255) throw new RangeError(`not a name that DNS can hold: ${name}`);
  return octets;
}

/** The data of a TXT record: its character-strings. */
export function wireStrings(strings: readonly Buffer[]): Buffer {
  return Buffer.concat(
    strings.flatMap((octets) => {
      if (octets.length > MAX_STRING_OCTETS) throw new RangeError('a string over 255 octets');
      return [Buffer.from([octets.length]), octets];
    }),
  );
}

export function wireRecord(record: WireRecord): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt16BE(record.type, 0);
  head.writeUInt16BE(record.class, 2);
  head.writeUInt32BE(record.ttlS, 4);
  head.writeUInt16BE(record.data.length, 8);
  return Buffer.concat([wireName(record.name), head, record.data]);
}

/** Where a record of a received message stands. */
export interface PlacedRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttlS: number;
  readonly data: Buffer;
  /** Octets before it. */
  readonly start: number;
  readonly end: number;
}

/** What is needed of a received message. */
export interface PlacedMessage {
  readonly id: number;
  readonly isResponse: boolean;
  readonly rcode: number;
  /** Of all sections, in order. */
  readonly records: readonly PlacedRecord[];
  readonly additionalCount: number;
}

/** Reads a message; undefined when it is malformed. */
export function placeRecords(message: Buffer): PlacedMessage | undefined {
  if (message.length < HEADER_OCTETS) return undefined;
  try {
    return place(message);
  } catch (error) {
    // Reads beyond the end, and what `readName` refuses.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function place(message: Buffer): PlacedMessage | undefined {
  const [questions = 0, ...counts] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at));
  let at = HEADER_OCTETS;
  for (let index = 0; index < questions; index += 1) at = readName(message, at).end + 4;
  const count = counts.reduce((sum, each) => sum + each, 0);
  const records: PlacedRecord[] = [];
  for (let index = 0; index < count; index += 1) {
    const start = at;
    const { name, end } = readName(message, at);
    const length = message.readUInt16BE(end + 8);
    at = end + 10 + length;
    if (at > message.length) return undefined;
    records.push({
      name,
      type: message.readUInt16BE(end),
      class: message.readUInt16BE(end + 2),
      ttlS: message.readUInt32BE(end + 4),
      data: message.subarray(end + 10, at),
      start,
      end: at,
    });
  }
  if (at !== message.length) return undefined;
  return {
    id: message.readUInt16BE(0),
    isResponse: (message.readUInt8(2) & 0x80) !== 0,
    rcode: message.readUInt8(3) & 0x0f,
    records,
    additionalCount: counts[2] ?? 0,
  };
}

/**
 * Reads a name, with compression.
 *
 * @throws RangeError when it leads out of the message or round in circles
 */
export function readName(message: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = start;
  let end: number | undefined;
  for (let pointers = 0; pointers <= MAX_POINTERS; ) {
    const length = message.readUInt8(at);
    if (length === 0) return { name: labels.join('.'), end: end ?? at + 1 };
    if ((length & 0xc0) === 0xc0) {
      end ??= at + 2;
      at = message.readUInt16BE(at) & 0x3fff;
      pointers += 1;
      continue;
    }
    if (length > MAX_LABEL_OCTETS || at + 1 + length > message.length) break;
    labels.push(message.toString('latin1', at + 1, at + 1 + length).toLowerCase());
    at += 1 + length;
    if (labels.length > 128) break;
  }
  throw new RangeError('a name is malformed');
}

/** RCODEs (RFC 2136 section 2.2) by what they mean to us. */
const RCODE_NAMES = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
  'NOTAUTH',
  'NOTZONE',
] as const;

/** An RCODE in words. */
export function rcodeName(rcode: number): string {
  return RCODE_NAMES[rcode] ?? `RCODE ${rcode}`;
}

/** What to do about an RCODE that answers an update. */
export const RCODE_HINTS: Readonly<Record<string, string>> = {
  REFUSED:
    'let the key update these names: update-policy or allow-update in BIND, acl with action: update in Knot',
  NOTAUTH: 'the server must be the primary of this zone; look at "server" and "zone"',
  NOTZONE: 'the name lies outside the zone; look at "zone"',
  SERVFAIL: 'the log of the server says why; it may be unable to write its zone',
  NOTIMP: 'the server knows no dynamic update (RFC 2136)',
};
