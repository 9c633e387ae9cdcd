import { chooseKeys } from '../keys/lifecycle/choose-keys.ts';
import { cancelDestruction } from '../keys/lifecycle/take-back.ts';
import { stepCommand } from './keys-step-command.ts';

const HELP = `
KMS deletes a key some days after it was destroyed here; until then it can be taken back. The key is revoked
again, with an empty record, and keys.rotation.removeAfterDays begins anew. It never signs again.
`;

/** `keys cancel-destroy DOMAIN --selector NAME` */
export const addKeysCancelDestroy = stepCommand({
  name: 'cancel-destroy',
  summary: 'take a destruction back while the back end can',
  description: 'Takes the scheduled destruction of a key back, where its back end can do that.',
  help: HELP,
  reason: false,
  selectorNeeded: true,
  nothing: 'no key is destroyed',
  plan: 'the key is revoked again, and its empty record published',
  choose: (entry, selectors) =>
    chooseKeys(entry, selectors, ['destroyed']).map((key) => key.selector),
  run: cancelDestruction,
});
