import { getServers } from 'node:dns';
import { type Clock, systemClock } from '../base/clock.ts';
import { parseDnsServer } from '../base/dns-servers.ts';
import { StubResolver } from '../base/resolver.ts';
import { authoritativeRecords, type StandingRecords } from '../keys/import/standing-record.ts';

/** The slice of the configuration that these need. */
interface ImportSettings {
  readonly dns: {
    readonly servers: readonly string[];
    readonly timeoutMs: number;
    readonly attempts: number;
    readonly hints?: readonly { readonly servers: readonly string[] }[];
  };
}

/** What `keys import` uses besides the others; without one, what needs it is refused. */
export interface KeysImportParts {
  /** Asks the zone's own servers for the record that stands at a name. */
  openStanding?(settings: ImportSettings): { readonly records: StandingRecords; close(): void };
}

/** The machine's own. */
export const SYSTEM_IMPORT_PARTS: KeysImportParts = {
  openStanding: ({ dns }) => standingAt(dns, systemClock),
};

function standingAt(dns: ImportSettings['dns'], clock: Clock) {
  const { timeoutMs, attempts, hints = [] } = dns;
  // A hint names the port of a server, too.
  const named = hints.flatMap(({ servers }) =>
    servers.map((server) => [parseDnsServer(server).address, server] as const),
  );
  const ports = new Map(named);
  const serverAt = (address: string): string =>
    ports.get(address) ?? (address.includes(':') ? `[${address}]` : address);
  const resolver = new StubResolver({
    servers: dns.servers.length > 0 ? dns.servers : getServers(),
    timeoutMs,
    attempts,
    cacheEntries: 100,
    maxTtlS: 60, // one run asks each name once
    maxNegativeTtlS: 60,
    clock,
  });
  const records = authoritativeRecords({ resolver, clock, timeoutMs, attempts, serverAt });
  return { records, close: () => resolver.close() };
}
