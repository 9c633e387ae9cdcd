import type { DnsReply } from '../../base/dns-message.ts';
import type { Asked } from './authority-queries.ts';

/** What replies say about a zone cut (RFC 1034 section 4.2.1): referrals, and answers of the child. */

/** Addresses of one name server that are looked at. */
export const MAX_ADDRESSES = 8;

/** What a server says about a cut at a name. */
export type Cut =
  | { readonly kind: 'cut'; readonly hosts: readonly string[]; readonly reply: DnsReply }
  | { readonly kind: 'none' }
  | { readonly kind: 'lame'; readonly detail: string }
  | { readonly kind: 'unreachable'; readonly detail: string };

/** True for a reply of a server that is authoritative for what it was asked. */
export function speaksForZone(reply: DnsReply): boolean {
  return reply.authoritative && (reply.rcode === 'NOERROR' || reply.rcode === 'NXDOMAIN');
}

/** Reads the answer of a server of `zone` to the question for the NS records of `child`. */
export function readCut(asked: Asked, zone: string, child: string): Cut {
  if (asked.kind === 'unreachable') return asked;
  const { reply } = asked;
  if (reply.rcode !== 'NOERROR' && reply.rcode !== 'NXDOMAIN') {
    return { kind: 'lame', detail: `it answers ${reply.rcode}` };
  }
  // Itself a server of the child zone, too.
  const own = nsHosts(reply.answers, child);
  if (own.length > 0) return { kind: 'cut', hosts: own, reply };
  if (reply.authoritative) return { kind: 'none' };
  const hosts = nsHosts(reply.authorities, child);
  if (hosts.length > 0) return { kind: 'cut', hosts, reply };
  return { kind: 'lame', detail: `it does not answer for ${zoneText(zone)} with authority` };
}

/** True when the server that told of the cut serves the child zone as well. */
export function isOfChild(cut: Cut): boolean {
  return cut.kind === 'cut' && cut.reply.authoritative;
}

/** Targets of the NS records of a name. */
export function nsHosts(records: DnsReply['answers'], owner: string): string[] {
  return unique(
    records.flatMap((record) =>
      record.type === 'NS' && record.name === owner ? [record.data] : [],
    ),
  );
}

/** Gathers the addresses that a reply has, glue or not, by host. */
export function collectAddresses(reply: DnsReply, into: Map<string, Set<string>>): void {
  for (const record of [...reply.additionals, ...reply.answers]) {
    if (record.type !== 'A' && record.type !== 'AAAA') continue;
    const addresses = into.get(record.name) ?? new Set();
    if (addresses.size < MAX_ADDRESSES) addresses.add(record.data);
    into.set(record.name, addresses);
  }
}

/** A zone in words. */
export function zoneText(zone: string): string {
  return zone === '' ? 'the root' : zone;
}

export function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
