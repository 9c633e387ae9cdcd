import { chooseKeys, FRESH_STATES } from '../keys/lifecycle/choose-keys.ts';
import { abortKeys, isAbortable, standsIn } from '../keys/lifecycle/take-back.ts';
import { stepCommand } from './keys-step-command.ts';

const HELP = `
For a rotation that is not to go on: keys that were never active are destroyed and their records removed, if
Waxseal wrote them. Keys that sign, or have signed, are not touched, nor is one that stands in for an active key
(kms.fallback) unless it is named. Selectors are never used again.
`;

/** `keys abort DOMAIN` */
export const addKeysAbort = stepCommand({
  name: 'abort',
  summary: 'give up new keys that were never active',
  description: 'Destroys the keys of a domain that were never active, and removes their records.',
  help: HELP,
  reason: false,
  nothing: 'every key is active, or was',
  plan: 'the record is removed and the private key destroyed',
  choose: (entry, selectors, work) => {
    const isNamed = selectors.length > 0;
    return chooseKeys(entry, selectors, [...FRESH_STATES, 'revoked'])
      .filter((key) => isAbortable(key) && (isNamed || !standsIn(work, entry, key)))
      .map((key) => key.selector);
  },
  run: abortKeys,
});
