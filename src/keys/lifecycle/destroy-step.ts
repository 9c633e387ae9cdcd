import { BACKENDS } from '../backends.ts';
import type { ManifestKey } from '../manifest.ts';
import { storedKey } from '../stored-key.ts';
import { isoTime, withKeys } from './key-changes.ts';
import type { LeasedDomain } from './leased-domain.ts';
import { note } from './lifecycle-access.ts';
import { destroyDueMs } from './next-steps.ts';
import { handOver, publish } from './publish-step.ts';
import { isNeededElsewhere } from './shared-keys.ts';
import { type StepRun, type StepTarget, type StepWork, underLeaseIn } from './step-work.ts';

/**
 * revoked → destroyed, `removeAfter` after the withdrawal was seen. The record goes first, and the
 * private key by its back end's row; both may be done again. A key that another domain uses too
 * stays until the last one of them.
 */
export async function destroyStep(work: StepWork, target: StepTarget): Promise<StepRun> {
  const { access, policy } = work;
  const isDue = (key: ManifestKey) => {
    const dueMs = destroyDueMs(key, policy);
    return key.state === 'revoked' && dueMs !== undefined && access.clock.wallMs() >= dueMs;
  };
  return await underLeaseIn(work, target, isDue, async (held, keys) =>
    destroyKeys(work, held, keys, 'destroyed'),
  );
}

/**
 * Gives keys up: takes their records away if they are ours, then the private halves. To be called
 * under the lease.
 *
 * @param event what the journal calls it. `aborted`: of a key that was imported and never signed here,
 *   what was there before the import stays, since it may be in use where the key came from
 */
export async function destroyKeys(
  work: StepWork,
  held: LeasedDomain,
  keys: readonly ManifestKey[],
  event: 'destroyed' | 'aborted',
): Promise<StepRun> {
  const { access } = work;
  const { domain } = held.entry;
  const reason = work.wishes.reason ?? 'it was due';
  const notes: string[] = [];
  let { entry } = held;
  for (const key of keys) {
    const { selector } = key;
    await note(access, { event: 'destroying', domain, selector, reason });
    const isBefore = event === 'aborted' && key.intent === undefined;
    if (isBefore) {
      notes.push(
        `the record of ${selector} stays: the key was imported, and may be in use elsewhere`,
      );
    } else {
      const { result } = await publish(work, domain, [{ key, record: 'none' }]);
      if (result.kind === 'failed') {
        const failed = { kind: 'failed', why: result.reason, action: result.hint } as const;
        return { entry, result: failed, notes };
      }
      notes.push(...handOver(result));
      if (result.kind === 'in-the-way') {
        notes.push(`the record of ${selector} is not the one that Waxseal wrote, and stays`);
      }
    }
    let isFinal = true;
    // The last look before what cannot be undone: writing the record may have taken long, and
    // whoever slept over it holds nothing any more.
    await held.write((current) => current);
    if (work.isShared(domain, key) || (await isNeededElsewhere(access.store, domain, key))) {
      notes.push(`the private key of ${selector} stays: another domain uses it too`);
    } else if (isBefore && BACKENDS[key.backend].imports === 'by-reference') {
      notes.push(`the private key of ${selector} stays as it is: it was not made here`);
    } else {
      const backend = await access.connect(key.backend, 'must-exist');
      const destruction = await backend.destroy(storedKey(domain, key));
      isFinal = destruction.kind === 'done';
      if (destruction.kind === 'scheduled') {
        notes.push(
          `${selector} can be taken back until ${destruction.until}: "waxseal keys cancel-destroy ${domain} --selector ${selector}"`,
        );
      }
    }
    const destroyedAt = isoTime(access.clock.wallMs());
    entry = await held.write((current) =>
      withKeys(current, [selector], () => ({
        state: 'destroyed',
        destroyedAt,
        // What the manifest holds of a private half goes with it; a name that can be taken back stays.
        ...(isFinal ? { material: undefined } : {}),
      })),
    );
    await note(access, { event, domain, selector, reason });
  }
  return { entry, result: { kind: 'done' }, notes };
}
