import { isIPv6, SocketAddress } from 'node:net';

/**
 * An IP address in the one way of writing it by which addresses can be compared (RFC 5952 for IPv6:
 * `2001:DB8:0::1` is `2001:db8::1`). What has a zone (`fe80::1%eth0`), or is no address, stays as it is.
 */
export function canonicalAddress(address: string): string {
  if (!isIPv6(address) || address.includes('%')) return address;
  return new SocketAddress({ address, family: 'ipv6' }).address;
}
