import { createHmac, timingSafeEqual } from 'node:crypto';
import {
  CLASS,
  type PlacedRecord,
  placeRecords,
  readName,
  TYPE,
  wireName,
  wireRecord,
} from './wire.ts';

/** Transaction signatures (RFC 8945) with hmac-sha256. */

/** A key shared with a server. */
export interface TsigKey {
  /** Normalised name, the same at both ends. */
  readonly name: string;
  /** Never logged. */
  readonly secret: Buffer;
}

const ALGORITHM = 'hmac-sha256';
const MAC_OCTETS = 32;
/** Seconds by which the clocks may differ (RFC 8945 section 10). */
const FUDGE_S = 300;

/** Codes of the error field (RFC 8945 section 3). */
const ERROR = { badSignature: 16, badKey: 17, badTime: 18, badTruncation: 22 } as const;

/** A message with its signature. */
export interface SignedMessage {
  readonly octets: Buffer;
  /** The answer's signature covers it. */
  readonly mac: Buffer;
}

/**
 * Signs a query or update (RFC 8945 section 5.1).
 *
 * @param message without TSIG
 * @param nowS seconds since the epoch
 */
export function signMessage(message: Buffer, key: TsigKey, nowS: number): SignedMessage {
  const variables: Variables = { timeS: nowS, fudgeS: FUDGE_S, error: 0, other: Buffer.alloc(0) };
  const mac = createHmac('sha256', key.secret)
    .update(message)
    .update(digestOf(variables, key.name))
    .digest();
  const record = wireRecord({
    name: key.name,
    type: TYPE.TSIG,
    class: CLASS.ANY,
    ttlS: 0,
    data: Buffer.concat([
      wireName(ALGORITHM),
      timeOctets(variables),
      uint16(mac.length),
      mac,
      message.subarray(0, 2),
      uint16(0),
      uint16(0),
    ]),
  });
  const octets = Buffer.concat([message, record]);
  octets.writeUInt16BE(octets.readUInt16BE(10) + 1, 10);
  return { octets, mac };
}

/** What the signature of an answer is worth. */
export type TsigVerdict =
  /** The answer is the server's and unchanged; `error` is what it said of our signature. */
  | { readonly kind: 'good' }
  /** The server does not know the key by this name, or not with this secret. */
  | { readonly kind: 'bad-key' | 'bad-signature' }
  /** The clocks differ by this much; positive: the server's is ahead. */
  | { readonly kind: 'bad-time'; readonly skewS: number }
  /** Nobody vouches for the answer; nothing in it may be believed. */
  | { readonly kind: 'forged'; readonly reason: string };

/**
 * Checks the answer to a signed message (RFC 8945 section 5.3).
 *
 * @param requestMac the signature of what we sent
 * @param nowS seconds since the epoch
 */
export function checkAnswer(
  answer: Buffer,
  requestMac: Buffer,
  key: TsigKey,
  nowS: number,
): TsigVerdict {
  const message = placeRecords(answer);
  const last = message?.records.at(-1);
  if (message === undefined || last?.type !== TYPE.TSIG || message.additionalCount === 0) {
    return forged('it has no TSIG');
  }
  const tsig = readTsig(last);
  if (tsig === undefined) return forged('its TSIG is malformed');
  // Errors that come unsigned (section 5.3.2) are believed: all that they can do is to make us fail.
  if (tsig.error === ERROR.badKey) return { kind: 'bad-key' };
  if (tsig.error === ERROR.badSignature || tsig.error === ERROR.badTruncation) {
    return { kind: 'bad-signature' };
  }
  if (last.class !== CLASS.ANY || last.ttlS !== 0) return forged('its TSIG is malformed');
  if (last.name !== key.name || tsig.algorithm !== ALGORITHM) {
    return forged('it is signed by another key');
  }
  if (tsig.error === ERROR.badTime && tsig.mac.length === 0) return badTime(tsig, nowS);
  const unsigned = Buffer.from(answer.subarray(0, last.start));
  unsigned.writeUInt16BE(message.additionalCount - 1, 10);
  unsigned.writeUInt16BE(tsig.originalId, 0);
  const expected = createHmac('sha256', key.secret)
    .update(uint16(requestMac.length))
    .update(requestMac)
    .update(unsigned)
    .update(digestOf(tsig, key.name))
    .digest();
  if (tsig.mac.length !== MAC_OCTETS || !timingSafeEqual(tsig.mac, expected)) {
    return forged('its signature is wrong');
  }
  if (tsig.error === ERROR.badTime) return badTime(tsig, nowS);
  if (tsig.error !== 0) return forged(`its TSIG error is ${tsig.error}`);
  const skewS = tsig.timeS - nowS;
  return Math.abs(skewS) > tsig.fudgeS ? { kind: 'bad-time', skewS } : { kind: 'good' };
}

/** What a signature covers besides the message (RFC 8945 section 4.3.3). */
interface Variables {
  readonly timeS: number;
  readonly fudgeS: number;
  readonly error: number;
  readonly other: Buffer;
}

interface Tsig extends Variables {
  readonly algorithm: string;
  readonly mac: Buffer;
  readonly originalId: number;
}

function digestOf(variables: Variables, keyName: string): Buffer {
  return Buffer.concat([
    wireName(keyName),
    uint16(CLASS.ANY),
    Buffer.alloc(4), // TTL
    wireName(ALGORITHM),
    timeOctets(variables),
    uint16(variables.error),
    uint16(variables.other.length),
    variables.other,
  ]);
}

function timeOctets({ timeS, fudgeS }: Variables): Buffer {
  const octets = Buffer.alloc(8);
  octets.writeUIntBE(timeS, 0, 6);
  octets.writeUInt16BE(fudgeS, 6);
  return octets;
}

function readTsig({ data }: PlacedRecord): Tsig | undefined {
  try {
    const { name: algorithm, end } = readName(data, 0);
    const macLength = data.readUInt16BE(end + 8);
    const afterMac = end + 10 + macLength;
    const otherLength = data.readUInt16BE(afterMac + 4);
    if (afterMac + 6 + otherLength !== data.length) return undefined;
    return {
      algorithm,
      timeS: data.readUIntBE(end, 6),
      fudgeS: data.readUInt16BE(end + 6),
      mac: data.subarray(end + 10, afterMac),
      originalId: data.readUInt16BE(afterMac),
      error: data.readUInt16BE(afterMac + 2),
      other: data.subarray(afterMac + 6),
    };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The server puts its own time into the other data (RFC 8945 section 5.2.3). */
function badTime({ other, timeS }: Tsig, nowS: number): TsigVerdict {
  const serverS = other.length === 6 ? other.readUIntBE(0, 6) : timeS;
  return { kind: 'bad-time', skewS: serverS - nowS };
}

function uint16(value: number): Buffer {
  const octets = Buffer.alloc(2);
  octets.writeUInt16BE(value);
  return octets;
}

function forged(reason: string): TsigVerdict {
  return { kind: 'forged', reason };
}
