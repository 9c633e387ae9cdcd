import { decode, encode, type Packet, RECURSION_DESIRED, type ResourceRecord } from 'dns-packet';
import { normalizeName } from './dns-name.ts';
import { canonicalAddress } from './ip-text.ts';

/**
 * DNS messages (RFC 1035 section 4) as the resolver sees them. This file is the border to
 * dns-packet: nothing of its loosely typed values leaves it.
 */

/** UDP payload that we accept: fits every path without fragments (DNS flag day 2020). */
const UDP_PAYLOAD_BYTES = 1232;
const FLAG_RESPONSE = 0x80;
const FLAG_AUTHORITATIVE = 0x04;
const FLAG_TRUNCATED = 0x02;
const HEADER_BYTES = 12;

export interface MxData {
  readonly preference: number;
  /** Normalised; the empty string is the root, so a null MX (RFC 7505). */
  readonly exchange: string;
}

export interface SoaData {
  readonly mname: string;
  readonly rname: string;
  readonly serial: number;
  readonly refresh: number;
  readonly retry: number;
  readonly expire: number;
  readonly minimum: number;
}

/** What the records of each type hold. Names are normalised: lower case, no trailing dot. */
export interface RecordData {
  /** Dotted IPv4 address. */
  readonly A: string;
  /** IPv6 address, written as RFC 5952 has it. */
  readonly AAAA: string;
  readonly MX: MxData;
  /** The character-strings, each apart, in order. */
  readonly TXT: readonly Buffer[];
  readonly CNAME: string;
  readonly NS: string;
  readonly SOA: SoaData;
}

export type RecordType = keyof RecordData;

export interface Question {
  /** Normalised and askable, see dns-name.ts. */
  readonly name: string;
  readonly type: RecordType;
}

/** A record of any known type, class IN. */
export type DnsRecord = {
  readonly [Type in RecordType]: {
    readonly type: Type;
    readonly name: string;
    /** Seconds; a value with the top bit set counts as 0 (RFC 2181 section 8). */
    readonly ttlS: number;
    readonly data: RecordData[Type];
  };
}[RecordType];

/** A reply whose id and question were checked. Records of other types and classes are left out. */
export interface DnsReply {
  /** `NOERROR`, `NXDOMAIN`, `SERVFAIL` …; `BADVERS` from an EDNS-aware server. */
  readonly rcode: string;
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  /** Glue, among others. */
  readonly additionals: readonly DnsRecord[];
  /** AA: the server speaks for the zone itself (RFC 1035 section 4.1.1). */
  readonly authoritative: boolean;
  /** AD: a resolver that validates DNSSEC vouches for the reply (RFC 6840 section 5.8). */
  readonly authenticated: boolean;
  /** The server knows EDNS (RFC 6891): it sent an OPT record back. */
  readonly edns: boolean;
  /** Size of the message in octets. */
  readonly bytes: number;
}

/** What a received message is to the query that we sent. */
export type Received =
  | { readonly kind: 'reply'; readonly reply: DnsReply }
  /** TC is set: ask again over TCP. */
  | { readonly kind: 'truncated' }
  /** Not an answer to this query: ignore it, the true one may still come. */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'malformed'; readonly detail: string };

/** What a query asks for besides its question. */
export type QueryKind =
  /** Of a resolver: recursion desired. */
  | 'recursive'
  /** Of a server for what it knows itself. */
  | 'iterative'
  /** Of a resolver, with AD set: it shall say whether it validated (RFC 6840 section 5.7). */
  | 'authenticated'
  /** Of a resolver, with CD set: it shall not validate (RFC 4035 section 3.2.2). */
  | 'unchecked';

const FLAG_AUTHENTIC_DATA = 0x20;
const FLAG_CHECKING_DISABLED = 0x10;

const QUERY_FLAGS: Readonly<Record<QueryKind, number>> = {
  recursive: RECURSION_DESIRED,
  iterative: 0,
  authenticated: RECURSION_DESIRED | FLAG_AUTHENTIC_DATA,
  unchecked: RECURSION_DESIRED | FLAG_CHECKING_DISABLED,
};

/**
 * A query.
 *
 * @param id random 16-bit id
 * @param edns add an OPT record (RFC 6891); false for servers that choke on it
 */
export function encodeQuery(
  question: Question,
  id: number,
  edns: boolean,
  kind: QueryKind = 'recursive',
): Buffer {
  const packet: Packet = {
    type: 'query',
    id,
    flags: QUERY_FLAGS[kind],
    questions: [{ type: question.type, name: question.name === '' ? '.' : question.name }],
  };
  if (edns) {
    packet.additionals = [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: UDP_PAYLOAD_BYTES,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        options: [],
      },
    ];
  }
  return encode(packet);
}

/** Reads a message as the answer to `question` asked with `id`. Never throws. */
export function readReply(octets: Buffer, question: Question, id: number): Received {
  if (octets.length < HEADER_BYTES) return { kind: 'foreign' };
  if (octets.readUInt16BE(0) !== id) return { kind: 'foreign' };
  const flags = octets.readUInt8(2);
  if ((flags & FLAG_RESPONSE) === 0) return { kind: 'foreign' };
  // What follows a cut may be anything, so it is not looked at; TCP brings all of it.
  if ((flags & FLAG_TRUNCATED) !== 0) return { kind: 'truncated' };
  let packet: Packet;
  try {
    packet = decode(octets);
    // The codec trusts inner lengths; a message that it did not use up to its end was misread.
    if (decode.bytes !== octets.length) return malformed('its records do not fill it');
    if (!answersQuestion(packet, question)) return { kind: 'foreign' };
    return { kind: 'reply', reply: toReply(packet, octets) };
  } catch (error) {
    return malformed(error instanceof Error ? error.message : String(error));
  }
}

function malformed(detail: string): Received {
  return { kind: 'malformed', detail };
}

function answersQuestion(packet: Packet, question: Question): boolean {
  const [asked] = packet.questions;
  // Some servers answer what they cannot parse with a bare header; it carries no data to trust.
  if (asked === undefined) return packet.rcode !== 'NOERROR' && packet.rcode !== 'NXDOMAIN';
  return (
    packet.questions.length === 1 &&
    asked.type === question.type &&
    asked.class === 'IN' &&
    normalizeName(asked.name) === question.name
  );
}

function toReply(packet: Packet, octets: Buffer): DnsReply {
  const opt = packet.additionals?.find((record) => record.type === 'OPT');
  const extended = opt?.extendedRcode ?? 0;
  return {
    rcode: extended === 0 ? (packet.rcode ?? 'NOERROR') : 'BADVERS',
    answers: toRecords(packet.answers ?? []),
    authorities: toRecords(packet.authorities ?? []),
    additionals: toRecords(packet.additionals ?? []),
    authoritative: (octets.readUInt8(2) & FLAG_AUTHORITATIVE) !== 0,
    authenticated: (octets.readUInt8(3) & FLAG_AUTHENTIC_DATA) !== 0,
    edns: opt !== undefined,
    bytes: octets.length,
  };
}

function toRecords(records: readonly ResourceRecord[]): DnsRecord[] {
  const known: DnsRecord[] = [];
  for (const record of records) {
    if (record.class !== 'IN') continue;
    const converted = toRecord(record);
    if (converted !== undefined) known.push(converted);
  }
  return known;
}

function toRecord(record: ResourceRecord): DnsRecord | undefined {
  const { data } = record;
  const ttl = record.ttl ?? 0;
  const owner = { name: normalizeName(record.name), ttlS: ttl > 0x7fffffff ? 0 : ttl };
  switch (record.type) {
    case 'A':
      return { type: 'A', ...owner, data: asText(data) };
    case 'AAAA':
      return { type: 'AAAA', ...owner, data: canonicalAddress(asText(data)) };
    case 'CNAME':
    case 'NS':
      return { type: record.type, ...owner, data: normalizeName(asText(data)) };
    case 'TXT':
      return {
        type: 'TXT',
        ...owner,
        data: Array.isArray(data) ? data.filter(Buffer.isBuffer) : [],
      };
    case 'MX':
      return { type: 'MX', ...owner, data: toMx(data) };
    case 'SOA':
      return { type: 'SOA', ...owner, data: toSoa(data) };
    default:
      return undefined;
  }
}

function toMx(data: unknown): MxData {
  const fields = asFields(data);
  // The codec leaves a preference of 0 out.
  return {
    preference: asNumber(fields.preference ?? 0),
    exchange: normalizeName(asText(fields.exchange)),
  };
}

function toSoa(data: unknown): SoaData {
  const fields = asFields(data);
  return {
    mname: normalizeName(asText(fields.mname)),
    rname: normalizeName(asText(fields.rname)),
    serial: asNumber(fields.serial),
    refresh: asNumber(fields.refresh),
    retry: asNumber(fields.retry),
    expire: asNumber(fields.expire),
    minimum: asNumber(fields.minimum),
  };
}

function asText(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('a record lacks a field');
  return value;
}

function asNumber(value: unknown): number {
  if (typeof value !== 'number') throw new TypeError('a record lacks a field');
  return value;
}

function asFields(value: unknown): Partial<Record<keyof MxData | keyof SoaData, unknown>> {
  if (typeof value !== 'object' || value === null) throw new TypeError('a record lacks its data');
  return value;
}
