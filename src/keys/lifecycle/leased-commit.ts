import { type CommitActivation, refuseChangedKeys } from '../activate-keys.ts';
import type { JournalEntry } from '../store/journal.ts';
import { underLease } from './leased-domain.ts';
import { type LeaseAccess, note } from './lifecycle-access.ts';

/**
 * Writes an activation under the domain's lease, and into the journal.
 *
 * @param remarkOf what the journal is to say besides of a key that is activated
 */
export function leasedCommit(
  access: LeaseAccess,
  remarkOf: (selector: string) => Pick<JournalEntry, 'reason' | 'details'> = () => ({}),
): CommitActivation {
  return async (_access, before, after) => {
    await underLease(access, before.domain, async (held) => {
      refuseChangedKeys(before, held.entry);
      const changed = after.keys.filter((key, index) => key.state !== before.keys[index]?.state);
      const { domain } = before;
      for (const { selector, state } of changed) {
        const isActivated = state === 'active';
        const event = isActivated ? 'activating' : state;
        const remark = isActivated ? remarkOf(selector) : {};
        await note(access, { event, domain, selector, ...remark });
      }
      await held.write((current) => {
        refuseChangedKeys(before, current); // an import takes no lease, and must not be lost
        return { ...after, lease: current.lease };
      });
      for (const { selector, state } of changed) {
        if (state === 'active') await note(access, { event: 'activated', domain, selector });
      }
    });
  };
}
