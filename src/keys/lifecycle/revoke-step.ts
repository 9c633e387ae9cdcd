import type { ManifestKey } from '../manifest.ts';
import { isoTime, withKeys } from './key-changes.ts';
import { note } from './lifecycle-access.ts';
import { lookAtKey, missingText, seenByServers } from './look-at-dns.ts';
import { revokeDueMs, standInOf } from './next-steps.ts';
import { refuseShortRetire } from './policy.ts';
import { handOver, publish, stopOf } from './publish-step.ts';
import { withStandIn } from './stand-in-times.ts';
import { type StepRun, type StepTarget, type StepWork, underLeaseIn } from './step-work.ts';

/**
 * retiring → revoked, never before `retireAfter` counted from the successor's activation and
 * `maxStale`, nor while a relay reports that it signs with it, nor for as long after that. The
 * manifest comes first, so that no relay signs with the key any more when its record becomes empty;
 * then the record is withdrawn (see `withdrawStep`).
 *
 * @throws KeysRefusal `key-retire-too-short`
 */
export async function revokeStep(work: StepWork, target: StepTarget): Promise<StepRun> {
  const { access, policy } = work;
  const view = await work.relays.of(target.entry.domain);
  const { complaints } = view;
  const isRetiring = (key: ManifestKey) => {
    refuseShortRetire(policy, key.ttlS);
    const dueMs = revokeDueMs(withStandIn(key, view), policy);
    return key.state === 'retiring' && dueMs !== undefined && access.clock.wallMs() >= dueMs;
  };
  const run = await underLeaseIn(work, target, isRetiring, async (held, keys) => {
    const [standIn] = keys.flatMap((key) => standInOf(held.entry, key, complaints) ?? []);
    if (standIn !== undefined) {
      const waiting = { kind: 'waiting', why: standIn, atMs: undefined } as const;
      return { entry: held.entry, result: waiting, notes: [] };
    }
    const { domain } = held.entry;
    const selectors = keys.map((key) => key.selector);
    for (const selector of selectors) await note(access, { event: 'revoking', domain, selector });
    const entry = await held.write((current) =>
      withKeys(current, selectors, () => ({ state: 'revoked', revokedAt: undefined })),
    );
    return { entry, result: { kind: 'done' }, notes: [] };
  });
  if (run.result.kind !== 'done') return run;
  return await withdrawStep(work, { ...target, entry: run.entry });
}

/**
 * Sees to it that the record of a revoked key is empty (`p=`), and notes when every authoritative
 * server shows that: `removeAfter` counts from then.
 */
export async function withdrawStep(work: StepWork, target: StepTarget): Promise<StepRun> {
  const written = await underLeaseIn(work, target, isOpen, async (held, keys) => {
    const wishes = keys.map((key) => ({ key, record: 'revoked' as const }));
    const { result } = await publish(work, held.entry.domain, wishes);
    const stop = stopOf(result) ?? { kind: 'done' };
    return { entry: held.entry, result: stop, notes: handOver(result) };
  });
  if (written.result.kind !== 'done') return written;
  const confirmed = await confirmWithdrawal(work, { ...target, entry: written.entry });
  return { ...confirmed, notes: [...written.notes, ...confirmed.notes] };
}

/** Looks whether DNS shows the withdrawal, and notes since when it does. */
export async function confirmWithdrawal(work: StepWork, target: StepTarget): Promise<StepRun> {
  const { access } = work;
  const { entry } = target;
  const seen: string[] = [];
  const missing: string[] = [];
  for (const key of entry.keys) {
    if (!target.selectors.includes(key.selector) || !isOpen(key)) continue;
    const report = await lookAtKey(access, entry.domain, key, work.wishes.seen);
    if (seenByServers(report)) seen.push(key.selector);
    else missing.push(missingText(report));
  }
  const waiting = { kind: 'waiting', why: missing.join('; '), atMs: undefined } as const;
  const result = missing.length > 0 ? waiting : ({ kind: 'done' } as const);
  if (seen.length === 0) return { entry, result, notes: [] };
  return await underLeaseIn(work, { entry, selectors: seen }, isOpen, async (held, rest) => {
    const selectors = rest.map((key) => key.selector);
    const revokedAt = isoTime(access.clock.wallMs());
    const after = await held.write((current) =>
      withKeys(current, selectors, () => ({ revokedAt })),
    );
    const { domain } = after;
    for (const selector of selectors) await note(access, { event: 'revoked', domain, selector });
    return { entry: after, result, notes: [] };
  });
}

function isOpen(key: ManifestKey): boolean {
  return key.state === 'revoked' && key.revokedAt === undefined;
}
