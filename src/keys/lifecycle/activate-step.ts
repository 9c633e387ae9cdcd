import { withActive } from '../activate-keys.ts';
import { allNextFallBacks, succeededFallBacks } from '../fall-back.ts';
import { familyOf } from '../key-algorithm.ts';
import { KeysError } from '../keys-error.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { probeSigner } from '../probe-signer.ts';
import { storedKey } from '../stored-key.ts';
import { withKeys, withRetiring } from './key-changes.ts';
import { underLease } from './leased-domain.ts';
import { note } from './lifecycle-access.ts';
import { lookAtKey, missingText } from './look-at-dns.ts';
import type { StepResult } from './step-outcome.ts';
import { keepsFallBacks, type StepRun, type StepTarget, type StepWork } from './step-work.ts';
import { worst } from './verify-step.ts';

/**
 * verified → active, the whole set in one write; the active keys of the same families become
 * retiring in it. DNS is asked once more before, since a standby may have waited for months: a
 * record that is not there any more sends its key back to `published`. Each key must be able to
 * sign here too, where no relay has said that it can use it. What stood in for the old keys retires
 * with them, where something is verified that can stand in for the new ones.
 */
export async function activateStep(work: StepWork, target: StepTarget): Promise<StepRun> {
  const { entry, selectors } = target;
  const { access } = work;
  const keys = chosen(entry, selectors);
  if (keys.length < selectors.length) return { entry, result: { kind: 'overtaken' }, notes: [] };
  const spare = keepsFallBacks(work) ? allNextFallBacks(entry) : [];
  const looked = [...keys, ...spare.filter(({ state }) => state === 'verified')];
  const reports = await Promise.all(
    looked.map((key) => lookAtKey(access, entry.domain, key, work.wishes.seen)),
  );
  const notes = [...new Set(reports.flatMap((report) => report.warnings))];
  const lost = looked.filter((_key, index) => reports[index]?.verdict !== 'seen');
  if (lost.length > 0) {
    const whys = reports.filter((report) => report.verdict !== 'seen').map(missingText);
    const after = await sendBack(work, entry.domain, lost);
    const why = `not activated: ${whys.join('; ')}`;
    return { entry: after, result: { kind: 'waiting', why, atMs: undefined }, notes };
  }
  const unusable = await probe(work, entry.domain, keys);
  if (unusable !== undefined) return { entry, result: unusable, notes };
  return await underLease(access, entry.domain, async (held) => {
    const current = chosen(held.entry, selectors);
    if (current.length < selectors.length) {
      return { entry: held.entry, result: { kind: 'overtaken' }, notes: [] };
    }
    const before = new Map(held.entry.keys.map((key) => [key.selector, key.state]));
    const { domain } = entry;
    for (const selector of selectors) await note(access, { event: 'activating', domain, selector });
    const after = await held.write((newest) => withSet(work, newest, chosen(newest, selectors)));
    for (const key of after.keys) {
      if (selectors.includes(key.selector)) {
        await note(access, { event: 'activated', domain, selector: key.selector });
      } else if (key.state === 'retiring' && before.get(key.selector) !== 'retiring') {
        await note(access, { event: 'retiring', domain, selector: key.selector });
      }
    }
    return { entry: after, result: worst([]), notes };
  });
}

/** The entry in which the keys sign; what stood in for those before them retires with those. */
export function withSet(
  work: StepWork,
  entry: ManifestDomain,
  keys: readonly ManifestKey[],
): ManifestDomain {
  const nowMs = work.access.clock.wallMs();
  const active = withActive(entry, keys, nowMs);
  if (!keepsFallBacks(work)) return active;
  const over = succeededFallBacks(
    active,
    keys.map((key) => key.selector),
  );
  return withRetiring(active, over, nowMs);
}

/** The keys, if they are all verified still and of a family each; else fewer. */
function chosen(entry: ManifestDomain, selectors: readonly string[]): readonly ManifestKey[] {
  const keys = entry.keys.filter(
    (key) => selectors.includes(key.selector) && key.state === 'verified',
  );
  return new Set(keys.map(familyOf)).size === keys.length ? keys : [];
}

async function sendBack(
  work: StepWork,
  domain: string,
  lost: readonly ManifestKey[],
): Promise<ManifestDomain> {
  const selectors = lost.map((key) => key.selector);
  return await underLease(work.access, domain, async (held) => {
    const verified = held.entry.keys
      .filter((key) => selectors.includes(key.selector) && key.state === 'verified')
      .map((key) => key.selector);
    for (const selector of verified) {
      await note(work.access, { event: 'record-not-seen-any-more', domain, selector });
    }
    return await held.write((current) =>
      withKeys(current, verified, () => ({
        state: 'published',
        verifiedAt: undefined,
        settledAt: undefined,
      })),
    );
  });
}

/** Tries keys that no relay has tried; `--force` leaves that to the relays. */
async function probe(
  { access, relays, wishes }: StepWork,
  domain: string,
  keys: readonly ManifestKey[],
): Promise<StepResult | undefined> {
  if (wishes.force) return undefined;
  const view = await relays.of(domain);
  for (const key of keys) {
    if (view.isUsable(key.selector)) continue; // a relay tried it itself
    const backend = await access.connect(key.backend, 'must-exist');
    try {
      await probeSigner(backend, storedKey(domain, key));
    } catch (error) {
      if (!(error instanceof KeysError)) throw error;
      const action =
        'no relay reports that it can use the key, and here it cannot be tried: run it with credentials that may sign, or say --force';
      return { kind: 'failed', why: error.message, action };
    }
  }
  return undefined;
}
