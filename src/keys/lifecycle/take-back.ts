import { withActive } from '../activate-keys.ts';
import { fallBackIn, onlyStoodIn } from '../fall-back.ts';
import { familyOf } from '../key-algorithm.ts';
import { KeysRefusal } from '../keys-error.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { storedKey } from '../stored-key.ts';
import { destroyKeys } from './destroy-step.ts';
import { activeKeys, freshKeys, timeOf, withKeys, withRetiring } from './key-changes.ts';
import { type LeasedDomain, underLease } from './leased-domain.ts';
import { note } from './lifecycle-access.ts';
import { lookAtKey, missingText } from './look-at-dns.ts';
import { withdrawStep } from './revoke-step.ts';
import { type StepRun, type StepTarget, type StepWork, underLeaseIn } from './step-work.ts';

/** The ways back: of keys that were never active, of an activation, of a destruction. */

/**
 * True for a key that was never active, and is not wanted or not needed any more. One that stood in
 * for others and retired has signed perhaps: it goes as active ones go.
 */
export function isAbortable({ activatedAt, retiringSince, state }: ManifestKey): boolean {
  return activatedAt === undefined && retiringSince === undefined && state !== 'destroyed';
}

/** In the journal, before keys are given up. */
export const ABORTING = 'aborting';

/**
 * created, published, verified → destroyed. They are revoked on the way, so that a run which is
 * killed in between leaves nothing that a rotation would go on with. A key that stands in for an
 * active one has signed perhaps, and mail of it may be under way: it becomes retiring.
 */
export async function abortKeys(work: StepWork, target: StepTarget): Promise<StepRun> {
  return await underLeaseIn(work, target, isAbortable, async (held, all) => {
    const { domain } = held.entry;
    const standIns = all.filter((key) => standsIn(work, held.entry, key));
    const retired = standIns.length > 0 ? await retireStandIns(work, held, standIns) : undefined;
    const keys = all.filter((key) => !standIns.includes(key));
    if (keys.length === 0 && retired !== undefined) return retired;
    const selectors = keys.map((key) => key.selector);
    for (const selector of selectors) {
      await note(work.access, { event: ABORTING, domain, selector });
    }
    await held.write((current) =>
      withKeys(current, selectors, () => ({ state: 'revoked', revokedAt: undefined })),
    );
    const destroyed = await destroyKeys(work, held, keys, 'aborted');
    const run = { ...destroyed, notes: [...(retired?.notes ?? []), ...destroyed.notes] };
    if (run.entry.rotatingSince === undefined || freshKeys(run.entry).length > 0) return run;
    const entry = await held.write((current) => ({ ...current, rotatingSince: undefined }));
    return { ...run, entry };
  });
}

/**
 * `kms.fallback`: true for the key that signs when an active one cannot. One that is to follow it
 * later does not.
 */
export function standsIn(
  { fallBacks }: Pick<StepWork, 'fallBacks'>,
  entry: ManifestDomain,
  key: ManifestKey,
): boolean {
  return fallBacks && activeKeys(entry).some((main) => fallBackIn(entry, main) === key);
}

async function retireStandIns(
  { access }: StepWork,
  held: LeasedDomain,
  keys: readonly ManifestKey[],
): Promise<StepRun> {
  const { domain } = held.entry;
  const selectors = keys.map((key) => key.selector);
  for (const selector of selectors) await note(access, { event: 'retiring', domain, selector });
  const nowMs = access.clock.wallMs();
  const entry = await held.write((current) => withRetiring(current, selectors, nowMs));
  const text = `${selectors.join(', ')} may have stood in for an active key, and mail that it signed may be under way: it is retiring, and withdrawn when that is over`;
  return { entry, result: { kind: 'done' }, notes: [text] };
}

/** destroyed → revoked, where the back end can; its record is empty again, and the time begins anew. */
export async function cancelDestruction(work: StepWork, target: StepTarget): Promise<StepRun> {
  const { access } = work;
  const isDestroyed = (key: ManifestKey) => key.state === 'destroyed';
  const run = await underLeaseIn(work, target, isDestroyed, async (held, keys) => {
    const { domain } = held.entry;
    let { entry } = held;
    for (const key of keys) {
      const { selector } = key;
      await note(access, { event: 'cancelling-destruction', domain, selector });
      const backend = await access.connect(key.backend, 'must-exist');
      await backend.cancelDestroy(storedKey(domain, key));
      entry = await held.write((current) =>
        withKeys(current, [selector], () => ({
          state: 'revoked',
          revokedAt: undefined,
          destroyedAt: undefined,
        })),
      );
      await note(access, { event: 'destruction-cancelled', domain, selector });
    }
    return { entry, result: { kind: 'done' }, notes: [] };
  });
  return run.result.kind === 'done'
    ? await withdrawStep(work, { ...target, entry: run.entry })
    : run;
}

/**
 * The keys that a rollback makes active again: the last ones that were succeeded, older than their
 * successors. A rollback that was made already finds none, so saying it twice changes nothing.
 */
export function rollbackChoice(entry: ManifestDomain): readonly ManifestKey[] {
  const active = activeKeys(entry);
  const candidates = entry.keys.filter((key) => {
    if (key.state !== 'retiring' || onlyStoodIn(key)) return false;
    const successor = active.find((other) => familyOf(other) === familyOf(key));
    return successor === undefined || key.createdAt < successor.createdAt;
  });
  const lastMs = Math.max(...candidates.map((key) => timeOf(key.retiringSince) ?? 0));
  return candidates.filter((key) => (timeOf(key.retiringSince) ?? 0) === lastMs);
}

/**
 * retiring → active while the record is seen: the whole set of the last activation goes back, and
 * what was activated with it becomes retiring.
 */
export async function rollback(work: StepWork, target: StepTarget): Promise<StepRun> {
  const { access, wishes } = work;
  const { domain } = target.entry;
  const reports = await Promise.all(
    rollbackChoice(target.entry).map((key) => lookAtKey(access, domain, key, wishes.seen)),
  );
  const missing = reports.filter((report) => report.verdict !== 'seen').map(missingText);
  if (missing.length > 0 && !wishes.force) {
    const why = `not rolled back: ${missing.join('; ')}`;
    const action = 'put the record back into DNS, or say --force: receivers may then reject mail';
    return { entry: target.entry, result: { kind: 'operator', why, action }, notes: [] };
  }
  return await underLease(access, domain, async (held): Promise<StepRun> => {
    const chosen = rollbackChoice(held.entry);
    if (chosen.map(({ selector }) => selector).join() !== target.selectors.join()) {
      return { entry: held.entry, result: { kind: 'overtaken' }, notes: [] };
    }
    const after = rolledBack(held.entry, chosen, access.clock.wallMs());
    if (!wishes.force) refuseWithoutRsa(after);
    const reason = wishes.reason ?? '';
    for (const { selector } of chosen) {
      await note(access, { event: 'rolling-back', domain, selector, reason });
    }
    const entry = await held.write((current) =>
      rolledBack(current, rollbackChoice(current), access.clock.wallMs()),
    );
    for (const { selector } of chosen) {
      await note(access, { event: 'rolled-back', domain, selector, reason });
    }
    return { entry, result: { kind: 'done' }, notes: [] };
  });
}

function rolledBack(
  entry: ManifestDomain,
  chosen: readonly ManifestKey[],
  wallMs: number,
): ManifestDomain {
  const families = new Set(chosen.map(familyOf));
  const since = new Set(chosen.map((key) => key.retiringSince));
  const cameAlong = activeKeys(entry).filter(
    (key) => since.has(key.activatedAt) && !families.has(familyOf(key)),
  );
  const retired = withRetiring(
    entry,
    cameAlong.map((key) => key.selector),
    wallMs,
  );
  const again = retired.keys.filter((key) =>
    chosen.some((other) => other.selector === key.selector),
  );
  return withActive(retired, again, wallMs);
}

/**
 * active → retiring without a successor: the domain signs with its other keys.
 *
 * @throws KeysRefusal `key-last-active`, `key-ed25519-alone`
 */
export async function retireKeys(work: StepWork, target: StepTarget): Promise<StepRun> {
  const { access, wishes } = work;
  const isActive = (key: ManifestKey) => key.state === 'active';
  return await underLeaseIn(work, target, isActive, async (held, keys) => {
    const selectors = keys.map((key) => key.selector);
    const change = (entry: ManifestDomain) => withRetiring(entry, selectors, access.clock.wallMs());
    if (!wishes.force) refuseWithoutRsa(change(held.entry));
    const { domain } = held.entry;
    for (const selector of selectors) await note(access, { event: 'retiring', domain, selector });
    return { entry: await held.write(change), result: { kind: 'done' }, notes: [] };
  });
}

function refuseWithoutRsa(after: ManifestDomain): void {
  const active = activeKeys(after);
  if (active.some((key) => familyOf(key) === 'rsa')) return;
  const { domain } = after;
  if (active.length === 0) {
    throw new KeysRefusal('key-last-active', `no key of ${domain} would be active`, {
      hint: `its mail would be answered 451; "waxseal keys rotate ${domain}" makes a successor, --force goes on without`,
    });
  }
  const message = `${domain} would sign with Ed25519 only, which the largest receivers do not verify`;
  throw new KeysRefusal('key-ed25519-alone', message, { hint: 'say --force if that is meant' });
}
