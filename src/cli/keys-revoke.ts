import { chooseKeys } from '../keys/lifecycle/choose-keys.ts';
import { revokeDueMs, revokeWait, standInOf } from '../keys/lifecycle/next-steps.ts';
import { refuseShortRetire } from '../keys/lifecycle/policy.ts';
import { revokeStep, withdrawStep } from '../keys/lifecycle/revoke-step.ts';
import { noteStandIns, withStandIns } from '../keys/lifecycle/stand-in-times.ts';
import type { StepRun, StepTarget, StepWork } from '../keys/lifecycle/step-work.ts';
import { worst } from '../keys/lifecycle/verify-step.ts';
import { stepCommand } from './keys-step-command.ts';

const HELP = `
Not before the last mail that the old key signed has arrived: keys.rotation.retireAfterDays, counted from the
activation of its successor and the time for which a relay may go on without the keyring; where a relay went on
signing with it because it could not use the successor, counted from then. Before that the answer is "waiting".
The key's record becomes empty (p=), so receivers know that it is withdrawn.

Is the key in wrong hands? waxseal keys emergency DOMAIN --reason "…"
`;

/** `keys revoke DOMAIN` */
export const addKeysRevoke = stepCommand({
  name: 'revoke',
  summary: 'withdraw keys that are retiring, when it is time',
  description: 'Withdraws retiring keys whose time has come: their records become empty.',
  help: HELP,
  reason: false,
  ignoreServer: true,
  reveal: 'then make revoked private keys public, in keys.rotation.reveal',
  nothing: 'no key is retiring, and each withdrawal is seen in DNS',
  plan: 'its record becomes empty, p= (publisher PUBLISHER)',
  dueMs: (key, policy) => (key.state === 'retiring' ? revokeDueMs(key, policy) : undefined),
  choose: (entry, selectors) =>
    chooseKeys(entry, selectors, ['retiring', 'revoked'])
      .filter((key) => key.revokedAt === undefined)
      .map((key) => key.selector),
  run: revokeWhatIsDue,
});

/** @throws KeysRefusal `key-retire-too-short` */
async function revokeWhatIsDue(work: StepWork, target: StepTarget): Promise<StepRun> {
  const nowMs = work.access.clock.wallMs();
  const entry = await noteStandIns(work, target.entry);
  const view = await work.relays.of(entry.domain);
  const told = withStandIns(entry, view);
  const keys = told.keys.filter((key) => target.selectors.includes(key.selector));
  const retiring = keys.filter((key) => key.state === 'retiring');
  for (const key of retiring) refuseShortRetire(work.policy, key.ttlS);
  const dueMs = retiring.map((key) => revokeDueMs(key, work.policy) ?? Number.POSITIVE_INFINITY);
  const due = retiring.filter((_key, index) => (dueMs[index] ?? 0) <= nowMs);
  const open = keys.filter((key) => key.state === 'revoked');
  let run: StepRun = { entry, result: { kind: 'done' }, notes: [] };
  if (open.length > 0) {
    run = await withdrawStep(work, { entry, selectors: open.map((key) => key.selector) });
  }
  if (due.length > 0) {
    const selectors = due.map((key) => key.selector);
    const revoked = await revokeStep(work, { entry: run.entry, selectors });
    const result = worst([run.result, revoked.result]);
    run = { entry: revoked.entry, result, notes: [...run.notes, ...revoked.notes] };
  }
  const atMs = Math.min(...dueMs.filter((ms) => ms > nowMs));
  const first = retiring[dueMs.indexOf(atMs)];
  if (first === undefined) return run;
  const waiting = revokeWait(first, atMs, nowMs, standInOf(told, first, view.complaints));
  return { ...run, result: worst(waiting === undefined ? [run.result] : [run.result, waiting]) };
}
