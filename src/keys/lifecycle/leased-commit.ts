import { type CommitActivation, refuseChangedKeys } from '../activate-keys.ts';
import { KeysRefusal } from '../keys-error.ts';
import type { ManifestKey } from '../manifest.ts';
import { isoTime, timeOf } from './key-changes.ts';
import { underLease } from './leased-domain.ts';
import { note } from './lifecycle-access.ts';
import type { StepWork } from './step-work.ts';

/**
 * Writes an activation under the domain's lease, and into the journal. `--force` does not ask the
 * relays.
 *
 * @throws KeysRefusal `keyring-changed`, and as `refuseUnusable`
 */
export function leasedCommit(work: StepWork): CommitActivation {
  const { access } = work;
  return async (_access, before, after) => {
    const { domain } = before;
    const changed = after.keys.filter((key, index) => key.state !== before.keys[index]?.state);
    const activated = changed.filter(({ state }) => state === 'active');
    if (!work.wishes.force) await refuseUnusable(work, domain, activated);
    await underLease(access, domain, async (held) => {
      refuseChangedKeys(before, held.entry);
      for (const { selector, state } of changed) {
        await note(access, { event: state === 'active' ? 'activating' : state, domain, selector });
      }
      await held.write((current) => {
        refuseChangedKeys(before, current); // an import takes no lease, and must not be lost
        return { ...after, lease: current.lease };
      });
      for (const { selector } of activated) {
        await note(access, { event: 'activated', domain, selector });
      }
    });
  };
}

/**
 * A key that a relay cannot use would have its mail answered 451. Where no relay says whether it
 * can, permissions are given the time that they take to spread.
 *
 * @throws KeysRefusal `key-relay-cannot`, `key-relays-unknown`
 */
export async function refuseUnusable(
  { access, relays, usableAtOnce, policy }: StepWork,
  domain: string,
  keys: readonly ManifestKey[],
): Promise<void> {
  const { complaints } = await relays.of(domain);
  const [first, ...others] = keys.flatMap(({ selector }) => complaints.get(selector) ?? []);
  if (first !== undefined) {
    const more = others.length > 0 ? `, and ${others.length} more` : '';
    const message = `a relay cannot use the new keys of ${domain}: ${first}${more}`;
    throw new KeysRefusal('key-relay-cannot', message, {
      hint: 'it tries again by itself; --force activates all the same, and its mail is answered 451 then',
    });
  }
  const unknown = keys.filter(
    ({ selector, backend }) => !complaints.has(selector) && !usableAtOnce.has(backend),
  );
  const dueMs = Math.max(
    0,
    ...unknown.map(({ createdAt }) => (timeOf(createdAt) ?? 0) + policy.authLagMs),
  );
  if (access.clock.wallMs() >= dueMs) return;
  const message = `no relay reports whether it can use the new keys of ${domain}, and permissions spread slowly`;
  throw new KeysRefusal('key-relays-unknown', message, {
    hint: `activate them after ${isoTime(dueMs)}, or say --force`,
  });
}
