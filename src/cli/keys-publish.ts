import { chooseKeys } from '../keys/lifecycle/choose-keys.ts';
import { publishStep } from '../keys/lifecycle/publish-step.ts';
import { stepCommand } from './keys-step-command.ts';

const HELP = `
Who writes the record is set per domain (publishers); without one you are told what to put into DNS.
Nothing that Waxseal did not write is ever replaced. Again after a failure, or after a kill, it goes on.

Next: waxseal keys verify DOMAIN
`;

/** `keys publish DOMAIN` */
export const addKeysPublish = stepCommand({
  name: 'publish',
  summary: 'write the records of new keys into DNS',
  description: 'Has the DNS records of new keys written, or says what to write.',
  help: HELP,
  reason: false,
  adoptRecord: true,
  nothing: 'no key is in state created',
  plan: 'its record is written (publisher PUBLISHER)',
  choose: (entry, selectors) =>
    chooseKeys(entry, selectors, ['created']).map((key) => key.selector),
  run: publishStep,
});
