import { BlockList, isIPv4, isIPv6 } from 'node:net';

/**
 * Which addresses mail may be sent to when their owner is a stranger: whoever publishes an MX
 * chooses its address, and must not be able to point this relay at its own network.
 */

/** IPv4 that is not globally reachable (IANA special-purpose registry, RFC 6890). */
const CLOSED_IPV4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8], // this network, unspecified
  ['10.0.0.0', 8], // private (RFC 1918)
  ['100.64.0.0', 10], // carrier-grade NAT (RFC 6598)
  ['127.0.0.0', 8], // loopback
  ['169.254.0.0', 16], // link-local, cloud metadata (RFC 3927)
  ['172.16.0.0', 12], // private
  ['192.0.0.0', 24], // protocol assignments, DS-Lite (RFC 6333)
  ['192.168.0.0', 16], // private
  ['198.18.0.0', 15], // benchmarking inside networks (RFC 2544)
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4], // reserved, limited broadcast
];

/**
 * IPv6 is closed but for these two. Outside of them lie unspecified, loopback, IPv4-mapped and
 * -compatible, ULA, link-local, site-local, multicast and local-use NAT64 addresses.
 */
const OPEN_IPV6: readonly (readonly [string, number])[] = [
  ['2000::', 3], // global unicast (RFC 4291)
  ['64:ff9b::', 96], // well-known NAT64 prefix (RFC 6052): the only IPv6 way to IPv4 MXs there
];

const CLOSED_IPV6: readonly (readonly [string, number])[] = [
  ['2001::', 23], // protocol assignments, Teredo: an IPv4 address hides inside
  ['2002::', 16], // 6to4, deprecated (RFC 7526): an IPv4 address hides inside
];

const closed = new BlockList();
const open = new BlockList();
for (const [network, prefix] of CLOSED_IPV4) {
  closed.addSubnet(network, prefix, 'ipv4');
  closed.addSubnet(`64:ff9b::${network}`, 96 + prefix, 'ipv6');
}
for (const [network, prefix] of CLOSED_IPV6) closed.addSubnet(network, prefix, 'ipv6');
for (const [network, prefix] of OPEN_IPV6) open.addSubnet(network, prefix, 'ipv6');

/** True for an address of the public Internet; false for every other, and for what is no address. */
export const isPublicAddress = remembering((address) => {
  if (isIPv4(address)) return !closed.check(address, 'ipv4');
  if (!isIPv6(address) || address.includes('%')) return false;
  return open.check(address, 'ipv6') && !closed.check(address, 'ipv6');
});

/** Where this relay itself listens, as far as a stranger's MX could point there. */
export interface OwnEndpoint {
  readonly address: string;
  readonly port: number;
}

/**
 * Compares with our own listening addresses however they are written.
 *
 * @param endpoints addresses of this machine with their ports; `0.0.0.0` and `::` already replaced
 *   by the addresses of the interfaces
 * @param port port that mail would be sent to
 */
export function ownAddressCheck(
  endpoints: readonly OwnEndpoint[],
  port: number,
): (address: string) => boolean {
  const own = new BlockList();
  for (const endpoint of endpoints) {
    if (endpoint.port !== port) continue;
    own.addAddress(endpoint.address, isIPv6(endpoint.address) ? 'ipv6' : 'ipv4');
  }
  return remembering((address) => own.check(address, isIPv6(address) ? 'ipv6' : 'ipv4'));
}

const MAX_REMEMBERED = 10_000;

/**
 * A BlockList parses the address at every check, which costs as much as the rest of routing a
 * message whose DNS answers are cached; and a verdict on an address never changes.
 */
function remembering(check: (address: string) => boolean): (address: string) => boolean {
  const verdicts = new Map<string, boolean>();
  return (address) => {
    const known = verdicts.get(address);
    if (known !== undefined) return known;
    const verdict = check(address);
    if (verdicts.size >= MAX_REMEMBERED) verdicts.clear();
    verdicts.set(address, verdict);
    return verdict;
  };
}
