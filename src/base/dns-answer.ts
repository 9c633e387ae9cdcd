import type { DnsRecord, DnsReply, Question, RecordData, RecordType } from './dns-message.ts';

/** CNAMEs that are followed for one question, in the reply and by asking again. */
export const MAX_ALIASES = 8;

/** What one reply says about one question. TTLs in seconds, the least of all records used. */
export type Interpretation =
  | {
      readonly kind: 'records';
      readonly name: string;
      readonly records: readonly RecordData[RecordType][];
      readonly ttlS: number;
    }
  | { readonly kind: 'nodata'; readonly name: string; readonly ttlS: number }
  | { readonly kind: 'nxdomain'; readonly name: string; readonly ttlS: number }
  /** The reply ends in a CNAME: ask for `target`. */
  | { readonly kind: 'alias'; readonly target: string; readonly ttlS: number }
  | { readonly kind: 'cname-loop' }
  | { readonly kind: 'cname-chain-too-long' };

/**
 * Follows the CNAMEs of a reply from the question to its end (RFC 1034 section 3.6.2) and says what
 * stands there. Only records along that way are used; whatever else the reply holds is ignored.
 *
 * @param seen names already passed, the question's own included; grows as CNAMEs are followed
 */
export function interpretReply(
  reply: DnsReply,
  question: Question,
  seen: Set<string>,
): Interpretation {
  let name = question.name;
  let ttlS = Number.POSITIVE_INFINITY;
  for (;;) {
    const owned = reply.answers.filter((record) => record.name === name);
    const found = owned.filter((record) => record.type === question.type);
    if (found.length > 0) {
      ttlS = Math.min(ttlS, ...found.map((record) => record.ttlS));
      return { kind: 'records', name, records: found.map((record) => record.data), ttlS };
    }
    const alias = owned.find((record) => record.type === 'CNAME');
    if (alias === undefined) break;
    if (seen.has(alias.data)) return { kind: 'cname-loop' };
    if (seen.size > MAX_ALIASES) return { kind: 'cname-chain-too-long' };
    seen.add(alias.data);
    name = alias.data;
    ttlS = Math.min(ttlS, alias.ttlS);
  }
  // With CNAMEs in the reply, NXDOMAIN speaks of the last name (RFC 2308 section 2.1).
  const soa = startOfAuthority(reply, name);
  const negativeTtlS = Math.min(ttlS, soa === undefined ? 0 : Math.min(soa.ttlS, soa.data.minimum));
  if (reply.rcode === 'NXDOMAIN') return { kind: 'nxdomain', name, ttlS: negativeTtlS };
  if (name !== question.name && soa === undefined) return { kind: 'alias', target: name, ttlS };
  return { kind: 'nodata', name, ttlS: negativeTtlS };
}

/**
 * True if the reply only points elsewhere (NS without SOA, RFC 2308 section 2.2): the server
 * neither knows the answer nor looks it up for us. Not to be mistaken for "no such data".
 */
export function isReferral(reply: DnsReply): boolean {
  return (
    reply.rcode === 'NOERROR' &&
    reply.answers.length === 0 &&
    reply.authorities.some((record) => record.type === 'NS') &&
    !reply.authorities.some((record) => record.type === 'SOA')
  );
}

function startOfAuthority(
  reply: DnsReply,
  name: string,
): (DnsRecord & { readonly type: 'SOA' }) | undefined {
  for (const record of reply.authorities) {
    if (record.type === 'SOA' && isWithin(name, record.name)) return record;
  }
  return undefined;
}

function isWithin(name: string, zone: string): boolean {
  return zone === '' || name === zone || name.endsWith(`.${zone}`);
}
