import { setMaxListeners } from 'node:events';
import { isIP } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { normalizeName } from '../../base/dns-name.ts';
import { canonicalAddress } from '../../base/ip-text.ts';
import { AuthorityQueries, isOutOfReach, machineHasIpv6 } from './authority-queries.ts';
import type { DnsHint } from './dns-hints.ts';
import { ZoneWalk } from './zone-servers.ts';

/** How authoritative servers are found and asked. */
export interface AuthorityOptions {
  /** Where the walk begins; the root servers of the Internet where none fits. */
  readonly hints?: readonly DnsHint[];
  /** Port of authoritative servers whose address no hint names; default 53. */
  readonly port?: number;
  /** Servers that do not count, by address (or by name where no address was found). */
  readonly ignored?: readonly { readonly address: string; readonly reason: string }[];
  /** For one try, in milliseconds; default 3000. */
  readonly timeoutMs?: number;
  /** Tries for a silent server; default 2. */
  readonly attempts?: number;
  /** For all questions together, in milliseconds; default 30,000. What is open then is unreachable. */
  readonly deadlineMs?: number;
  /** Whether IPv6 addresses can be asked; by default, whether the machine has one itself. */
  readonly hasIpv6?: boolean;
  /** For time-outs on the network: the machine's own, unless a test moves it. */
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** What one check asks with. */
export interface AuthorityBounds {
  readonly queries: AuthorityQueries;
  readonly walk: ZoneWalk;
  /** Address (or name) to the reason why it does not count. */
  readonly ignored: ReadonlyMap<string, string>;
  readonly hasIpv6: boolean;
}

const CONCURRENCY = 32;
const MAX_QUERIES = 1000;

/**
 * Runs one check of what authoritative servers say: its questions are bounded in number and end
 * with its deadline.
 *
 * @throws the signal's reason when aborted; what the check throws
 */
export async function withinBounds<Result>(
  options: AuthorityOptions,
  check: (bounds: AuthorityBounds) => Promise<Result>,
): Promise<Result> {
  const { clock, signal, timeoutMs = 3000, attempts = 2, deadlineMs = 30_000 } = options;
  signal?.throwIfAborted();
  const end = new AbortController();
  const endEarly = () => end.abort();
  setMaxListeners(0, end.signal);
  signal?.addEventListener('abort', endEarly, { once: true });
  const cancel = clock.after(deadlineMs, endEarly);
  try {
    const queries = new AuthorityQueries({
      timeoutMs,
      attempts,
      concurrency: CONCURRENCY,
      maxQueries: MAX_QUERIES,
      clock,
      signal: end.signal,
    });
    const result = await check(boundsOf(options, queries));
    signal?.throwIfAborted();
    return result;
  } finally {
    cancel();
    signal?.removeEventListener('abort', endEarly);
    end.abort();
  }
}

function boundsOf(options: AuthorityOptions, queries: AuthorityQueries): AuthorityBounds {
  const { hints = [], port = 53, hasIpv6 = machineHasIpv6() } = options;
  const ignored = new Map(
    (options.ignored ?? []).map(({ address, reason }) => [asServersAreNamed(address), reason]),
  );
  const skips = (address: string) => ignored.has(address) || isOutOfReach(address, hasIpv6);
  return { queries, walk: new ZoneWalk({ queries, hints, port, skips }), ignored, hasIpv6 };
}

/** As walks name servers: addresses without brackets and in one way of writing, names normalised. */
function asServersAreNamed(written: string): string {
  const address = written.replace(/^\[(.*)\]$/, '$1');
  return isIP(address) === 0 ? normalizeName(written) : canonicalAddress(address);
}
