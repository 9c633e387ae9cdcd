import type { Clock } from '../../base/clock.ts';
import { normalizeName } from '../../base/dns-name.ts';
import { parseDnsServer } from '../../base/dns-servers.ts';
import type { SeenOptions } from './seen.ts';

/** The section `dns` of the configuration, as far as looking for key records needs it. */
export interface DnsSettings {
  readonly servers: readonly string[];
  readonly timeoutMs: number;
  readonly attempts: number;
  readonly hints?: readonly { readonly zone: string; readonly servers: readonly string[] }[];
}

/**
 * The options of `checkSeen` from the configuration.
 *
 * @param systemServers the resolvers of the system, asked when `dns.servers` is empty
 * @throws WaxsealError `dns-server-invalid`
 */
export function seenOptions(
  dns: DnsSettings,
  systemServers: readonly string[],
  clock: Clock,
): SeenOptions {
  return {
    hints: (dns.hints ?? []).map(({ zone, servers }) => ({
      zone: normalizeName(zone),
      servers: servers.map(parseDnsServer),
    })),
    resolvers: (dns.servers.length > 0 ? dns.servers : systemServers).map(parseDnsServer),
    timeoutMs: dns.timeoutMs,
    attempts: dns.attempts,
    clock,
  };
}
