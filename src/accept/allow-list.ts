import { BlockList, isIP } from 'node:net';
import { WaxsealError } from '../base/errors.ts';

/** Which client addresses may send without AUTH or a certificate. */
export interface AllowList {
  /** @param address IP address as a socket reports it; IPv4-mapped IPv6 counts as IPv4 */
  allows(address: string): boolean;
}

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** The address without the IPv4-mapped prefix that a dual-stack socket adds, in lower case. */
export function plainAddress(address: string): string {
  return (MAPPED.exec(address)?.[1] ?? address).toLowerCase();
}

/**
 * Reads a list of addresses and networks such as `192.0.2.0/24` and `2001:db8::/32`.
 *
 * @throws WaxsealError `client-list-invalid`, naming the entry
 */
export function parseAllowList(entries: readonly string[]): AllowList {
  // One list for each family: in a mixed one `::/0` would let in every IPv4 address as well.
  const lists: Lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const entry of entries) addEntry(lists, entry);
  return {
    allows: (address) => {
      const plain = plainAddress(address);
      const version = isIP(plain);
      const family = version === 4 ? 'ipv4' : 'ipv6';
      return version !== 0 && lists[family].check(plain, family);
    },
  };
}

type Lists = Readonly<Record<'ipv4' | 'ipv6', BlockList>>;

function addEntry(lists: Lists, entry: string): void {
  const [written = '', prefix, more] = entry.trim().split('/');
  const address = plainAddress(written);
  const version = isIP(address);
  const bits = version === 4 ? 32 : 128;
  // `::ffff:192.0.2.0/120` is the IPv4 network of 24 bits.
  const shift = version === 4 && isIP(written) === 6 ? 96 : 0;
  const length = prefix === undefined ? bits : Number(prefix) - shift;
  const numeric = prefix === undefined || /^\d{1,3}$/.test(prefix);
  if (version === 0 || more !== undefined || !numeric || length < 0 || length > bits) {
    throw new WaxsealError('client-list-invalid', `clients.allow: ${entry} is not a network`, {
      hint: 'write an address or a network, for example 192.0.2.7 or 2001:db8::/32',
    });
  }
  const family = version === 4 ? 'ipv4' : 'ipv6';
  lists[family].addSubnet(address, length, family);
}
