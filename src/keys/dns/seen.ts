import type { DnsServer } from '../../base/dns-transport.ts';
import { recordName } from '../key-name.ts';
import type { PublishedKey } from '../key-record.ts';
import { type AuthorityBounds, type AuthorityOptions, withinBounds } from './authority-bounds.ts';
import { composeReport } from './compose-report.ts';
import { followChain } from './seen-chain.ts';
import type { SeenReport } from './seen-report.ts';
import { askResolver } from './seen-resolvers.ts';

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

export interface SeenOptions extends AuthorityOptions {
  /** Asked last. */
  readonly resolvers: readonly DnsServer[];
  /** The longest TTL in seconds that another record ever had under this name (a slot). */
  readonly oldTtlS?: number | undefined;
}

/**
 * Looks whether DNS shows a record as it should. Whatever DNS says is in the report.
 *
 * @throws the signal's reason when aborted, and nothing else
 */
export async function checkSeen(
  expectation: SeenExpectation,
  options: SeenOptions,
): Promise<SeenReport> {
  return await withinBounds(options, async (bounds) => await check(expectation, options, bounds));
}

async function check(
  expectation: SeenExpectation,
  options: SeenOptions,
  { queries, walk, ignored, hasIpv6 }: AuthorityBounds,
): Promise<SeenReport> {
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
