import type { Clock } from '../../base/clock.ts';
import { type Resolver, StubResolver } from '../../base/resolver.ts';
import { isOutOfReach, machineHasIpv6 } from '../dns/authority-queries.ts';

/** The TXT record at a name as the zone's own servers give it: what a publisher would replace. */
export type StandingRecord =
  | {
      readonly kind: 'one';
      /** The strings as they are split. */
      readonly strings: readonly string[];
      /** As the zone has it, not what is left of it in a cache. */
      readonly ttlS: number;
    }
  /** `reason` completes "NAME: …". */
  | { readonly kind: 'none' | 'several' | 'alias' | 'unknown'; readonly reason: string };

/** Asks for the record that stands at a name. Failures are values. */
export type StandingRecords = (name: string) => Promise<StandingRecord>;

export interface AuthorityOptions {
  /** Finds the zone's servers. */
  readonly resolver: Resolver;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly attempts: number;
  /** Where an address is asked; port 53 by default. */
  readonly serverAt?: (address: string) => string;
  /** Whether IPv6 addresses can be asked; by default, whether the machine has one itself. */
  readonly hasIpv6?: boolean;
}

/** Addresses of servers that are asked; zones with more have them answer alike. */
const MAX_ADDRESSES = 16;
/** Longer than any TTL that DNS is run with: nothing is cut. */
const MAX_TTL_S = 604_800;

/**
 * Asks all addresses of the authoritative servers of the zone that holds the name; all that answer
 * must agree.
 */
export function authoritativeRecords(options: AuthorityOptions): StandingRecords {
  return async (name) => {
    const { resolver, hasIpv6 = machineHasIpv6() } = options;
    const addresses = (await authorities(resolver, name)).filter(
      (address) => !isOutOfReach(address, hasIpv6),
    );
    if (addresses.length === 0) return unknown('the name servers of its zone were not found');
    const answers = await Promise.all(addresses.map((address) => askAt(options, address, name)));
    const [first, ...others] = answers;
    if (first === undefined) return unknown('no name server was asked');
    const different = others.find((answer) => JSON.stringify(answer) !== JSON.stringify(first));
    if (different === undefined) return first;
    const failed = answers.find((answer) => answer.kind === 'unknown');
    return failed ?? unknown('the name servers of its zone do not agree');
  };
}

async function authorities(resolver: Resolver, name: string): Promise<readonly string[]> {
  for (let zone = name; zone.includes('.'); zone = zone.slice(zone.indexOf('.') + 1)) {
    const answer = await resolver.resolve(zone, 'NS');
    if (answer.kind !== 'records' || answer.name !== zone) continue;
    const lists = await Promise.all(
      answer.records.flatMap((host) => [
        resolver.resolve(host, 'A'),
        resolver.resolve(host, 'AAAA'),
      ]),
    );
    const found = lists.flatMap((list) => (list.kind === 'records' ? list.records : []));
    return [...new Set(found)].slice(0, MAX_ADDRESSES);
  }
  return [];
}

async function askAt(
  options: AuthorityOptions,
  address: string,
  name: string,
): Promise<StandingRecord> {
  const { clock, timeoutMs, attempts } = options;
  const server = options.serverAt?.(address) ?? (address.includes(':') ? `[${address}]` : address);
  const stub = new StubResolver({
    servers: [server],
    timeoutMs,
    attempts,
    cacheEntries: 4,
    maxTtlS: MAX_TTL_S,
    maxNegativeTtlS: 1,
    clock,
  });
  try {
    const answer = await stub.resolve(name, 'TXT');
    if (answer.kind === 'failure') return unknown(`${address}: ${answer.detail}`);
    if (answer.name !== name) {
      return { kind: 'alias', reason: `an alias (CNAME) to ${answer.name} stands there` };
    }
    if (answer.kind !== 'records') return { kind: 'none', reason: 'there is no TXT record' };
    const [record, ...others] = answer.records;
    if (record === undefined || others.length > 0) {
      return { kind: 'several', reason: `${answer.records.length} TXT records stand there` };
    }
    const strings = record.map((text) => text.toString('latin1'));
    return { kind: 'one', strings, ttlS: answer.ttlS };
  } finally {
    stub.close();
  }
}

function unknown(reason: string): StandingRecord {
  return { kind: 'unknown', reason };
}
