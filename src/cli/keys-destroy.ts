import { chooseKeys } from '../keys/lifecycle/choose-keys.ts';
import { destroyStep } from '../keys/lifecycle/destroy-step.ts';
import { destroyDueMs } from '../keys/lifecycle/next-steps.ts';
import { stepCommand } from './keys-step-command.ts';

const HELP = `
Not before keys.rotation.removeAfterDays after the withdrawal was seen in DNS; before that the answer is
"waiting". The record is removed if Waxseal wrote it, and the private key given up: a file is erased, a key in
KMS is scheduled for deletion and can be taken back for some days ("waxseal keys cancel-destroy").
`;

/** `keys destroy DOMAIN --reason TEXT` */
export const addKeysDestroy = stepCommand({
  name: 'destroy',
  summary: 'remove revoked keys for good, when it is time',
  description: 'Removes the records of revoked keys and destroys their private halves.',
  help: HELP,
  reason: true,
  nothing: 'no key is revoked',
  plan: 'its record is removed (publisher PUBLISHER) and the private key destroyed',
  dueMs: (key, policy) => destroyDueMs(key, policy) ?? undefined,
  choose: (entry, selectors) =>
    chooseKeys(entry, selectors, ['revoked']).map((key) => key.selector),
  run: async (work, target) => {
    const nowMs = work.access.clock.wallMs();
    const keys = target.entry.keys.filter((key) => target.selectors.includes(key.selector));
    const dueMs = keys.map((key) => destroyDueMs(key, work.policy) ?? Number.POSITIVE_INFINITY);
    const due = keys.filter((_key, index) => (dueMs[index] ?? 0) <= nowMs);
    if (due.length > 0) {
      return await destroyStep(work, { ...target, selectors: due.map((key) => key.selector) });
    }
    const nextMs = Math.min(...dueMs);
    const isSeen = Number.isFinite(nextMs);
    const why = isSeen
      ? 'receivers may still look the withdrawn key up'
      : 'the withdrawal is not seen in DNS yet: "waxseal keys revoke" looks again';
    const result = { kind: 'waiting', why, atMs: isSeen ? nextMs : undefined } as const;
    return { entry: target.entry, result, notes: [] };
  },
});
