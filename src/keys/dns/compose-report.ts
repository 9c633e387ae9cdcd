import { MAX_TTL_S } from '../manifest.ts';
import type { ExpectedRecord } from './judge-record.ts';
import type { SeenChain } from './seen-chain.ts';
import type { SeenReport, ServerAnswer } from './seen-report.ts';
import type { ResolverStatement } from './seen-resolvers.ts';

/** Servers that a summary names. */
const MAX_NAMED = 3;

/** Puts together what authorities and resolvers said. */
export function composeReport(
  name: string,
  expected: ExpectedRecord,
  chain: SeenChain,
  resolvers: readonly ResolverStatement[],
  oldTtlS: number | undefined,
): SeenReport {
  const verdict = verdictOf(chain, resolvers);
  const servers = [...chain.statements.map(({ answer }) => answer), ...chain.troubles];
  const answers = resolvers.map(({ answer }) => answer);
  const warnings = [...chain.warnings];
  if (resolvers.length > 0 && !resolvers.some(({ validates }) => validates)) {
    warnings.push(
      'no resolver that was asked is known to validate DNSSEC: broken signatures of the zone would go unnoticed',
    );
  }
  return {
    verdict,
    name,
    servers,
    resolvers: answers,
    warnings,
    settleMs: settleMs(expected, chain, resolvers, oldTtlS),
    summary: summary(verdict, name, servers, answers),
  };
}

function verdictOf(
  chain: SeenChain,
  resolvers: readonly ResolverStatement[],
): SeenReport['verdict'] {
  if (chain.verdict !== 'seen') return chain.verdict;
  const unsure = resolvers.filter(({ answer }) => answer.verdict !== 'seen');
  if (unsure.length === 0) return 'seen';
  return unsure.every(({ mayPass }) => mayPass) ? 'not-yet' : 'conflict';
}

function settleMs(
  expected: ExpectedRecord,
  chain: SeenChain,
  resolvers: readonly ResolverStatement[],
  oldTtlS: number | undefined,
): number {
  const ttls = [chain.wildcardTtlS, oldTtlS ?? 0];
  for (const { soa, ttlS } of chain.statements) {
    ttls.push(soa?.negativeTtlS ?? 0);
    // Where another record stood before, caches hold that one; its TTL was most likely the same.
    if (chain.isAliased || expected.kind !== 'key') ttls.push(ttlS ?? 0);
  }
  if (expected.kind === 'none') ttls.push(oldTtlS ?? MAX_TTL_S);
  return Math.max(...ttls.map((ttlS) => ttlS * 1000), ...resolvers.map(({ keepsMs }) => keepsMs));
}

function summary(
  verdict: SeenReport['verdict'],
  name: string,
  servers: readonly ServerAnswer[],
  resolvers: readonly ServerAnswer[],
): string {
  if (verdict === 'seen') {
    const asked = servers.filter((answer) => answer.verdict === 'seen').length;
    const ignored = servers.length - asked;
    const less = ignored === 0 ? '' : ` (${ignored} ignored)`;
    const last = resolvers.length === 0 ? '' : ` and by ${resolvers.length} resolver(s)`;
    return `${name} is seen at ${asked} address(es) of its name servers${less}${last}`;
  }
  const wrong = [...servers, ...resolvers].filter(
    (answer) => answer.verdict !== 'seen' && answer.verdict !== 'ignored',
  );
  if (wrong.length === 0)
    return `${name}: no authoritative server was found, or CNAMEs lead nowhere`;
  const named = wrong
    .slice(0, MAX_NAMED)
    .map(
      ({ host, address, detail }) => `${host}${address === '' ? '' : ` (${address})`}: ${detail}`,
    );
  const more = wrong.length > MAX_NAMED ? `; and ${wrong.length - MAX_NAMED} more` : '';
  return `${name}: ${named.join('; ')}${more}`;
}
