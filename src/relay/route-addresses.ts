import type { Answer, Resolver } from '../base/resolver.ts';

/** Addresses of one host that are used; a host with more gets the first of each family. */
const MAX_ADDRESSES_PER_HOST = 16;

/** What is known of one host's addresses. */
export type HostAddresses =
  /** In the order in which they are to be tried; at least one. */
  | { readonly kind: 'addresses'; readonly addresses: readonly string[] }
  /** It has none: no such name, or no A and no AAAA record. */
  | { readonly kind: 'none'; readonly found: 'nxdomain' | 'nodata' }
  /** No address is known, because a look-up failed. */
  | { readonly kind: 'failure'; readonly detail: string };

/**
 * Looks up AAAA and A of a host at the same time. One family's failure does not matter when the
 * other family has an address.
 *
 * @throws the signal's reason when aborted
 */
export async function lookUpAddresses(
  resolver: Resolver,
  host: string,
  signal?: AbortSignal,
): Promise<HostAddresses> {
  const [ipv6, ipv4] = await Promise.all([
    resolver.resolve(host, 'AAAA', signal),
    resolver.resolve(host, 'A', signal),
  ]);
  const addresses = interleave(recordsOf(ipv6), recordsOf(ipv4));
  if (addresses.length > 0) {
    return { kind: 'addresses', addresses: addresses.slice(0, MAX_ADDRESSES_PER_HOST) };
  }
  const failure = [ipv6, ipv4].find((answer) => answer.kind === 'failure');
  if (failure !== undefined) return { kind: 'failure', detail: failure.detail };
  const missing = ipv6.kind === 'nxdomain' || ipv4.kind === 'nxdomain';
  return { kind: 'none', found: missing ? 'nxdomain' : 'nodata' };
}

function recordsOf(answer: Answer<'A' | 'AAAA'>): readonly string[] {
  return answer.kind === 'records' ? answer.records : [];
}

/** IPv6 and IPv4 in turn, IPv6 first, each family's own order kept (RFC 8305 section 4). */
export function interleave(ipv6: readonly string[], ipv4: readonly string[]): string[] {
  const mixed: string[] = [];
  for (let index = 0; index < Math.max(ipv6.length, ipv4.length); index += 1) {
    mixed.push(...ipv6.slice(index, index + 1), ...ipv4.slice(index, index + 1));
  }
  return mixed;
}
