import { chooseKeys } from '../keys/lifecycle/choose-keys.ts';
import { retireKeys } from '../keys/lifecycle/take-back.ts';
import { stepCommand } from './keys-step-command.ts';

const HELP = `
A key retires by itself when its successor becomes active ("waxseal keys rotate"). This is for a key that
gets none, for example when a domain gives Ed25519 up. Its record stays: mail that it signed is under way.

To go back: waxseal keys rollback DOMAIN --reason TEXT, or waxseal keys activate DOMAIN --selector NAME
`;

/** `keys retire DOMAIN --selector NAME` */
export const addKeysRetire = stepCommand({
  name: 'retire',
  summary: 'stop signing with a key, without a successor',
  description: 'Stops signing with an active key; the domain signs with its other keys.',
  help: HELP,
  reason: false,
  selectorNeeded: true,
  force: 'even if no RSA key is left: mail is then deferred (451), or not verified by many',
  nothing: 'the key is not active',
  plan: 'the key signs no more; its record stays',
  choose: (entry, selectors) => chooseKeys(entry, selectors, ['active']).map((key) => key.selector),
  run: retireKeys,
});
