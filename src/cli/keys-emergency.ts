import { chooseKeys, LIVE_STATES } from '../keys/lifecycle/choose-keys.ts';
import { emergency, signersOf } from '../keys/lifecycle/emergency.ts';
import { stepCommand } from './keys-step-command.ts';

const HELP = `
For a private key that somebody else may have. At once and in this order: relays stop signing with the key
(within 5 seconds), the verified standby signs if there is one (else mail gets 451 and waits at your servers),
the record becomes empty, the back end disables the private key. A rotation that runs is stopped.

Without --selector: all keys that sign or have signed and are not withdrawn, and those that stand in for them
(kms.fallback): each relay has these in its memory. After a failure say it again; it
goes on where it stopped. Mail under way that the key signed will fail, and forgeries pass until caches have
run out: the answer says which and how long.

Then: waxseal keys rotate DOMAIN
`;

/** `keys emergency DOMAIN --reason TEXT` */
export const addKeysEmergency = stepCommand({
  name: 'emergency',
  summary: 'revoke keys now, whatever is under way',
  description: 'Revokes keys at once, disables them, and switches to the standby.',
  help: HELP,
  reason: true,
  isUrgent: true,
  force: 'keep signing with Ed25519 even if no RSA key is left',
  nothing: 'no key signs, or has signed and is not withdrawn; others are named with --selector',
  plan: 'relays stop using the key, the standby signs, p= is published, the key is disabled',
  choose: (entry, selectors, work) => {
    if (selectors.length > 0) {
      return chooseKeys(entry, selectors, LIVE_STATES).map((key) => key.selector);
    }
    // Revoked ones: an emergency that did not get to its end has revoked them.
    const revoked = chooseKeys(entry, [], ['revoked']);
    const open = revoked.filter(({ revokedAt }) => revokedAt === undefined);
    const likely = [...signersOf(work, entry), ...open.map((key) => key.selector)];
    return likely.length > 0 ? likely : revoked.map((key) => key.selector);
  },
  run: async (work, target, named) => await emergency(work, target.entry, named),
});
