import type { SeenReport } from '../dns/seen.ts';
import type { ManifestKey } from '../manifest.ts';
import { isoTime, timeOf, withKeys } from './key-changes.ts';
import { note } from './lifecycle-access.ts';
import { lookAtKey, missingText, seenByServers } from './look-at-dns.ts';
import type { StepResult } from './step-outcome.ts';
import { type StepRun, type StepTarget, type StepWork, underLeaseIn } from './step-work.ts';
import { longestTtlS } from './write-records.ts';

/**
 * published → verified, in two looks: when every authoritative server shows the record, the time
 * for which caches may hold an older answer begins (`verifiedAt`, `settledAt`). After it servers
 * and resolvers are asked once more. A record that has vanished in between begins anew.
 */
export async function verifyStep(work: StepWork, target: StepTarget): Promise<StepRun> {
  const { access, wishes } = work;
  const { entry } = target;
  const keys = entry.keys.filter(
    (key) => target.selectors.includes(key.selector) && key.state === 'published',
  );
  if (keys.length === 0) return { entry, result: { kind: 'overtaken' }, notes: [] };
  const looks = new Map<string, Look>();
  for (const key of keys) {
    // A slot's name had other keys: caches may hold their records for so long.
    const old =
      work.policy.names === 'slots'
        ? { oldTtlS: await longestTtlS(access, entry.domain, key.selector) }
        : {};
    const report = await lookAtKey(access, entry.domain, key, { ...wishes.seen, ...old });
    looks.set(key.selector, judge(key, report, access.clock.wallMs()));
  }
  const notes = [...new Set([...looks.values()].flatMap(({ report }) => report.warnings))];
  const result = worst([...looks.values()].map((look) => look.result));
  const changed = keys.filter((key) => looks.get(key.selector)?.change !== undefined);
  if (changed.length === 0) return { entry, result, notes };
  const selectors = changed.map((key) => key.selector);
  const isPublished = (key: ManifestKey) => key.state === 'published';
  return await underLeaseIn(work, { entry, selectors }, isPublished, async (held, rest) => {
    const after = await held.write((current) =>
      withKeys(
        current,
        rest.map((key) => key.selector),
        (key) => looks.get(key.selector)?.change ?? {},
      ),
    );
    for (const { selector } of rest) {
      const event = looks.get(selector)?.event ?? 'looked';
      await note(access, { event, domain: entry.domain, selector });
    }
    return { entry: after, result, notes };
  });
}

interface Look {
  readonly report: SeenReport;
  readonly change: Partial<ManifestKey> | undefined;
  readonly event: string;
  readonly result: StepResult;
}

function judge(key: ManifestKey, report: SeenReport, nowMs: number): Look {
  const settledMs = key.verifiedAt === undefined ? undefined : timeOf(key.settledAt);
  if (!seenByServers(report)) {
    const lost = { verifiedAt: undefined, settledAt: undefined };
    const change = settledMs === undefined ? undefined : lost;
    return { report, change, event: 'record-not-seen-any-more', result: unseen(key, report) };
  }
  const verifiedAt = isoTime(nowMs);
  if (settledMs === undefined && report.settleMs > 0) {
    const atMs = nowMs + report.settleMs;
    const change = { verifiedAt, settledAt: isoTime(atMs) };
    const why = `${report.name}: seen; caches may still hold an older answer`;
    return { report, change, event: 'record-seen', result: { kind: 'waiting', why, atMs } };
  }
  const isSettled = settledMs === undefined || nowMs >= settledMs;
  if (isSettled && report.verdict === 'seen') {
    const change = { state: 'verified', verifiedAt: key.verifiedAt ?? verifiedAt } as const;
    return { report, change, event: 'verified', result: { kind: 'done' } };
  }
  const waiting = { kind: 'waiting', why: missingText(report), atMs: settledMs } as const;
  const begun = { verifiedAt, settledAt: verifiedAt };
  const change = settledMs === undefined ? begun : undefined;
  return {
    report,
    change,
    event: 'record-seen',
    result: isSettled ? { ...waiting, atMs: undefined } : waiting,
  };
}

/** A foreign record, or one that a person has to write, is an operator's matter. */
function unseen(key: ManifestKey, report: SeenReport): StepResult {
  const why = missingText(report);
  if (report.verdict !== 'conflict') return { kind: 'waiting', why, atMs: undefined };
  const action = `make the record of ${key.selector} what "waxseal keys dns" prints, and nothing beside it`;
  return { kind: 'operator', why, action };
}

const SEVERITY: Readonly<Record<StepResult['kind'], number>> = {
  done: 0,
  overtaken: 1,
  waiting: 2,
  failed: 3,
  operator: 4,
};

/** The result that says most: what an operator must do, else what is waited for longest. */
export function worst(results: readonly StepResult[]): StepResult {
  return results.reduce<StepResult>(
    (one, other) => {
      if (SEVERITY[one.kind] !== SEVERITY[other.kind]) {
        return SEVERITY[one.kind] > SEVERITY[other.kind] ? one : other;
      }
      if (one.kind !== 'waiting' || other.kind !== 'waiting') return one;
      return (one.atMs ?? 0) >= (other.atMs ?? 0) ? one : other;
    },
    { kind: 'done' },
  );
}
