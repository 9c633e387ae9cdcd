import { chooseKeys, LIVE_STATES } from '../keys/lifecycle/choose-keys.ts';
import { publishStep, republish } from '../keys/lifecycle/publish-step.ts';
import { stepCommand } from './keys-step-command.ts';

const HELP = `
Who writes the record is set per domain (publishers); without one you are told what to put into DNS.
Nothing that Waxseal did not write is ever replaced. Again after a failure, or after a kill, it goes on.
With --selector a record that has vanished from DNS is written again, whatever the state of its key.

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
  nothing: 'no key is in state created (with --selector a lost record is written again)',
  plan: 'its record is written (publisher PUBLISHER)',
  choose: (entry, selectors) =>
    chooseKeys(entry, selectors, selectors.length > 0 ? LIVE_STATES : ['created']).map(
      (key) => key.selector,
    ),
  run: async (work, target) => {
    const { entry, selectors } = target;
    const created = entry.keys
      .filter((key) => key.state === 'created' && selectors.includes(key.selector))
      .map((key) => key.selector);
    const others = selectors.filter((selector) => !created.includes(selector));
    if (others.length === 0) return await publishStep(work, target);
    const again = await republish(work, { entry, selectors: others });
    if (created.length === 0 || again.result.kind !== 'done') return again;
    const first = await publishStep(work, { entry: again.entry, selectors: created });
    return { ...first, notes: [...again.notes, ...first.notes] };
  },
});
