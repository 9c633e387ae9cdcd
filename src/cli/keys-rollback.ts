import { KeysRefusal } from '../keys/keys-error.ts';
import { rollback, rollbackChoice } from '../keys/lifecycle/take-back.ts';
import { stepCommand } from './keys-step-command.ts';

const HELP = `
The whole set of the last rotation goes back: the keys that are retiring sign again, the new ones become
retiring. Their records must still be in DNS, and they are, until "revoke" is due. Said twice it changes
nothing. Running relays take it over within seconds.

Then: waxseal keys rotate DOMAIN --again     makes other new keys
`;

/** `keys rollback DOMAIN --reason TEXT` */
export const addKeysRollback = stepCommand({
  name: 'rollback',
  summary: 'sign with the previous keys again',
  description: 'Takes the last activation back: the previous keys of a domain sign again.',
  help: HELP,
  reason: true,
  force: 'even if DNS does not show the records, or Ed25519 stands alone',
  ignoreServer: true,
  nothing: 'no key is retiring that was active before',
  plan: 'these keys sign again, and their successors become retiring',
  choose: (entry, selectors) => {
    const chosen = rollbackChoice(entry).map((key) => key.selector);
    const strange = selectors.find((selector) => !chosen.includes(selector));
    if (strange === undefined) return chosen;
    const message = `${entry.domain}: ${strange} is not among the keys of the last rotation that are retiring`;
    throw new KeysRefusal('key-state', message, {
      hint: `a rollback takes the whole set: ${chosen.join(', ') || 'there is none'}`,
    });
  },
  run: rollback,
});
