import { setMaxListeners } from 'node:events';
import type { Clock } from '../../base/clock.ts';
import type { DnsServer } from '../../base/dns-transport.ts';
import { recordName } from '../key-name.ts';
import type { PublishedKey } from '../key-record.ts';
import { AuthorityQueries, isOutOfReach, machineHasIpv6 } from './authority-queries.ts';
import { composeReport } from './compose-report.ts';
import type { DnsHint } from './dns-hints.ts';
import { followChain } from './seen-chain.ts';
import type { SeenReport } from './seen-report.ts';
import { askResolver } from './seen-resolvers.ts';
import { ZoneWalk } from './zone-servers.ts';

export type { SeenReport, ServerAnswer } from './seen-report.ts';

/**
 * *Seen in DNS*, the condition on which keys change their state:
 *
 * 1. Walk from the root (or a nearer hint) to the zone that holds the record's name.
 * 2. Ask all addresses of all its authoritative servers; each must answer with authority.
 * 3. Where they agree on a CNAME, go on with its target in the same way.
 * 4. At the end there must be exactly one TXT record, and it must be the expected one, everywhere.
 * 5. Only then ask the resolvers. Asked earlier, they would remember for the zone's negative TTL
 *    (RFC 2308) that there is no such record, and so would the receivers behind them.
 */

export interface SeenExpectation {
  /** A-labels, lower case. */
  readonly domain: string;
  readonly selector: string;
  readonly record:
    | { readonly kind: 'key'; readonly key: PublishedKey }
    | { readonly kind: 'revoked'; readonly key: PublishedKey }
    | { readonly kind: 'none' };
}

export interface SeenOptions {
  /** Where the walk begins; the root servers of the Internet where none fits. */
  readonly hints?: readonly DnsHint[];
  /** Port of authoritative servers whose address no hint names; default 53. */
  readonly port?: number;
  /** Asked last. */
  readonly resolvers: readonly DnsServer[];
  /** Servers that do not count, by address (or by name where no address was found). */
  readonly ignored?: readonly { readonly address: string; readonly reason: string }[];
  /** The longest TTL in seconds that another record ever had under this name (a slot). */
  readonly oldTtlS?: number | undefined;
  /** For one try, in milliseconds; default 3000. */
  readonly timeoutMs?: number;
  /** Tries for a silent server; default 2. */
  readonly attempts?: number;
  /** For the whole check, in milliseconds; default 30,000. What is open then is unreachable. */
  readonly deadlineMs?: number;
  /** Whether IPv6 addresses can be asked; by default, whether the machine has one itself. */
  readonly hasIpv6?: boolean;
  /** For time-outs on the network: the machine's own, unless a test moves it. */
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

const CONCURRENCY = 32;
const MAX_QUERIES = 1000;

/**
 * Looks whether DNS shows a record as it should. Whatever DNS says is in the report.
 *
 * @throws the signal's reason when aborted, and nothing else
 */
export async function checkSeen(
  expectation: SeenExpectation,
  options: SeenOptions,
): Promise<SeenReport> {
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
    const report = await check(expectation, options, queries);
    signal?.throwIfAborted();
    return report;
  } finally {
    cancel();
    signal?.removeEventListener('abort', endEarly);
    end.abort();
  }
}

async function check(
  expectation: SeenExpectation,
  options: SeenOptions,
  queries: AuthorityQueries,
): Promise<SeenReport> {
  const { hints = [], port = 53, hasIpv6 = machineHasIpv6() } = options;
  const ignored = new Map((options.ignored ?? []).map(({ address, reason }) => [address, reason]));
  const skips = (address: string) => ignored.has(address) || isOutOfReach(address, hasIpv6);
  const walk = new ZoneWalk({ queries, hints, port, skips });
  const name = recordName(expectation.selector, expectation.domain);
  const chain = await followChain(name, {
    domain: expectation.domain,
    expected: expectation.record,
    walk,
    ask: { queries, expected: expectation.record, ignored, hasIpv6 },
  });
  const resolvers =
    chain.verdict === 'seen'
      ? await Promise.all(
          options.resolvers.map((server) => askResolver(server, name, expectation.record, queries)),
        )
      : [];
  return composeReport(name, expectation.record, chain, resolvers, options.oldTtlS);
}
