import type { DnsServer } from '../../base/dns-transport.ts';

/** Where a walk to the authoritative servers of a name may begin. */
export interface DnsHint {
  /** Zone, normalised; the empty string is the root. */
  readonly zone: string;
  /** Servers of that zone; at least one. */
  readonly servers: readonly DnsServer[];
}

const DNS_PORT = 53;

/** The root servers of the Internet (IANA, named.root of 2025). */
const ROOT_ADDRESSES = [
  '198.41.0.4',
  '170.247.170.2',
  '192.33.4.12',
  '199.7.91.13',
  '192.203.230.10',
  '192.5.5.241',
  '192.112.36.4',
  '198.97.190.53',
  '192.36.148.17',
  '192.58.128.30',
  '193.0.14.129',
  '199.7.83.42',
  '202.12.27.33',
  '2001:503:ba3e::2:30',
  '2801:1b8:10::b',
  '2001:500:2::c',
  '2001:500:2d::d',
  '2001:500:a8::e',
  '2001:500:2f::f',
  '2001:500:12::d0d',
  '2001:500:1::53',
  '2001:7fe::53',
  '2001:503:c27::2:30',
  '2001:7fd::1',
  '2001:500:9f::42',
  '2001:dc3::35',
] as const;

export const ROOT_HINT: DnsHint = {
  zone: '',
  servers: ROOT_ADDRESSES.map((address) => ({ address, port: DNS_PORT })),
};

/** The hint of the deepest zone that holds the name; the root's where none does. */
export function hintFor(name: string, hints: readonly DnsHint[]): DnsHint {
  let best = ROOT_HINT;
  for (const hint of hints) {
    if (!isWithin(name, hint.zone)) continue;
    if (best === ROOT_HINT || hint.zone.length > best.zone.length) best = hint;
  }
  return best;
}

/**
 * The port of a zone's server at an address, which DNS itself does not tell: as the deepest hint says
 * that holds the zone and names the address. Else as the hints of other zones say, if with one voice.
 */
export function portFor(
  address: string,
  zone: string,
  hints: readonly DnsHint[],
): number | undefined {
  const naming = hints.flatMap((hint) =>
    hint.servers
      .filter((server) => server.address === address)
      .map(({ port }) => ({ zone: hint.zone, port })),
  );
  const [nearest] = naming
    .filter((hint) => isWithin(zone, hint.zone))
    .toSorted((one, other) => other.zone.length - one.zone.length);
  if (nearest !== undefined) return nearest.port;
  const [port, ...others] = new Set(naming.map((hint) => hint.port));
  return others.length === 0 ? port : undefined;
}

/** True for the zone's own name and every name below it. */
export function isWithin(name: string, zone: string): boolean {
  return zone === '' || name === zone || name.endsWith(`.${zone}`);
}

/** The names from just below `zone` down to `name` itself. */
export function namesBelow(zone: string, name: string): string[] {
  const labels = name.split('.');
  const first = zone === '' ? 0 : zone.split('.').length;
  const names: string[] = [];
  for (let count = first + 1; count <= labels.length; count += 1) {
    names.push(labels.slice(labels.length - count).join('.'));
  }
  return names;
}
