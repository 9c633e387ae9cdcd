import { familyOf } from './key-algorithm.ts';
import { parseTagList } from './tag-list.ts';

/**
 * The key record in DNS (RFC 6376 section 3.6.1, RFC 8463 section 4):
 * `v=DKIM1; k=rsa|ed25519; h=sha256; p=…`.
 */

/** Octets of one character-string of a TXT record (RFC 1035 section 3.3). */
const MAX_STRING_OCTETS = 255;

/** What a record is made from and compared with: a key of the manifest. */
export interface PublishedKey {
  /** Name of an algorithm row. */
  readonly algorithm: string;
  /** The value of `p=`: SPKI for RSA, the bare 32 octets for Ed25519, base64. */
  readonly publicKey: string;
}

/** The record's value, unsplit, as a web form of a DNS provider wants it. */
export function recordValue(key: PublishedKey): string {
  return `v=DKIM1; k=${familyOf(key)}; h=sha256; p=${key.publicKey}`;
}

/** The record of a revoked key: `p=` is empty (RFC 6376 section 3.6.1). */
export function revokedRecordValue(key: PublishedKey): string {
  return `v=DKIM1; k=${familyOf(key)}; p=`;
}

/** Cuts a value into strings that fit in a TXT record; readers join them without blanks. */
export function splitRecordValue(value: string): string[] {
  const strings: string[] = [];
  for (let start = 0; start < value.length; start += MAX_STRING_OCTETS) {
    strings.push(value.slice(start, start + MAX_STRING_OCTETS));
  }
  return strings;
}

/** A value as zone files have it: its strings, each in quotes (RFC 1035 section 5.1). */
export function quotedStrings(value: string): string {
  return splitRecordValue(value)
    .map((text) => `"${text.replace(/["\\]/g, '\\$&')}"`)
    .join(' ');
}

/** A line of a zone file (RFC 1035 section 5.1), the owner's name absolute. */
export function zoneLine(ownerName: string, ttlS: number, value: string): string {
  return `${ownerName}. ${ttlS} IN TXT ${quotedStrings(value)}`;
}

/** A key record as read from DNS. */
export interface KeyRecord {
  /** The value of `k=`; `rsa` when absent. */
  readonly family: string;
  /** The value of `p=` without white space; empty: revoked. */
  readonly publicKey: string;
  /** The values of `h=`; undefined: all hashes. */
  readonly hashes: readonly string[] | undefined;
  /** The values of `s=`; `*` when absent. */
  readonly services: readonly string[];
  /** The values of `t=`. */
  readonly flags: readonly string[];
}

export type ParsedKeyRecord =
  | { readonly kind: 'record'; readonly record: KeyRecord }
  | { readonly kind: 'malformed'; readonly reason: string };

/**
 * Parses the joined strings of a TXT record as a verifier would (RFC 6376 section 3.6.1).
 * Unknown tags are ignored.
 */
export function parseKeyRecord(text: string): ParsedKeyRecord {
  const list = parseTagList(text);
  if (list.kind === 'malformed') return list;
  const { tags } = list;
  const version = tags.get('v');
  if (version !== undefined && (version !== 'DKIM1' || tags.keys().next().value !== 'v')) {
    return { kind: 'malformed', reason: 'v= is not DKIM1 or does not come first' };
  }
  const publicKey = tags.get('p')?.replace(/\s+/g, '');
  if (publicKey === undefined) return { kind: 'malformed', reason: 'there is no p=' };
  if (!isBase64(publicKey)) return { kind: 'malformed', reason: 'p= is no base64' };
  const record: KeyRecord = {
    family: tags.get('k') ?? 'rsa',
    publicKey,
    hashes: colonList(tags.get('h')),
    services: colonList(tags.get('s')) ?? ['*'],
    flags: colonList(tags.get('t')) ?? [],
  };
  return { kind: 'record', record };
}

/** Outcome of comparing what DNS says with a key. */
export interface RecordComparison {
  /** Why verifiers would not accept signatures of this key; empty: they would. */
  readonly mismatches: readonly string[];
  /** What works and should be looked at. */
  readonly warnings: readonly string[];
}

/** Compares a record with the key that is to sign. */
export function compareRecord(record: KeyRecord, key: PublishedKey): RecordComparison {
  const mismatches: string[] = [];
  const family = familyOf(key);
  if (record.publicKey === '') mismatches.push('p= is empty: the key is revoked there');
  else if (record.family !== family) {
    mismatches.push(`k=${record.family} and not k=${family}`);
  } else if (record.publicKey !== key.publicKey)
    mismatches.push(`p= is another key${hint(record)}`);
  if (record.hashes !== undefined && !record.hashes.includes('sha256')) {
    mismatches.push('h= does not allow sha256');
  }
  if (!record.services.includes('*') && !record.services.includes('email')) {
    mismatches.push('s= does not allow email');
  }
  const warnings = record.flags.includes('y')
    ? ['t=y says that this domain only tests DKIM: verifiers may ignore the signature']
    : [];
  return { mismatches, warnings };
}

/** True for base64 as RFC 4648 section 4 defines it, padding included; the empty text too. */
export function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

/** A frequent mistake with Ed25519: the SPKI of 44 octets in place of the bare 32. */
function hint(record: KeyRecord): string {
  const isSpki = record.family === 'ed25519' && record.publicKey.length > 44;
  return isSpki ? ' (for Ed25519 it must be the bare 32 octets, 44 characters)' : '';
}

function colonList(value: string | undefined): string[] | undefined {
  return value?.split(':').map((item) => item.trim());
}
