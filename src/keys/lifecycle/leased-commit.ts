import { type CommitActivation, refuseChangedKeys } from '../activate-keys.ts';
import { underLease } from './leased-domain.ts';
import { type LeaseAccess, note } from './lifecycle-access.ts';

/** Writes an activation under the domain's lease, and into the journal. */
export function leasedCommit(access: LeaseAccess): CommitActivation {
  return async (_access, before, after) => {
    await underLease(access, before.domain, async (held) => {
      refuseChangedKeys(before, held.entry);
      const changed = after.keys.filter((key, index) => key.state !== before.keys[index]?.state);
      const { domain } = before;
      for (const { selector, state } of changed) {
        await note(access, { event: state === 'active' ? 'activating' : state, domain, selector });
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
