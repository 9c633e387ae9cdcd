import { WaxsealError } from '../../base/errors.ts';
import { KeysRefusal } from '../keys-error.ts';
import { KmsError } from '../kms/kms-fault.ts';
import type { ManifestDomain } from '../manifest.ts';
import { activateStep } from './activate-step.ts';
import { createKeysOf } from './create-step.ts';
import { destroyStep } from './destroy-step.ts';
import { isLeaseLost } from './leased-domain.ts';
import { regionNotes } from './new-key-regions.ts';
import type { NextStep, StepName } from './next-steps.ts';
import { publishStep } from './publish-step.ts';
import { revokeStep, withdrawStep } from './revoke-step.ts';
import { wishState } from './rotation-wish.ts';
import type { StepOutcome, StepResult } from './step-outcome.ts';
import {
  createOptions,
  type StepRun,
  type StepTarget,
  type StepWork,
  stepsNow,
} from './step-work.ts';
import { verifyStep } from './verify-step.ts';

/**
 * Carries a step out: the lease is taken, the step is decided anew on the newest entry (somebody
 * may have been faster), the journal gets the intent, the step acts, the manifest is written under
 * the lease, the journal gets the outcome. Killed at any point, a re-run ends in the same state.
 * What only looks at DNS does so without the lease, and takes it for the write.
 */

interface StepRow {
  /** For people: "example.com: TITLE …". */
  readonly title: string;
  readonly run: (work: StepWork, target: StepTarget) => Promise<StepRun>;
}

export const STEP_ROWS: Readonly<Record<StepName, StepRow>> = {
  create: { title: 'making new keys', run: createStep },
  publish: { title: 'publishing the records', run: publishStep },
  verify: { title: 'looking for the records in DNS', run: verifyStep },
  activate: { title: 'letting the new keys sign', run: activateStep },
  revoke: { title: 'withdrawing the old key', run: revokeStep },
  withdraw: { title: 'looking for the withdrawal in DNS', run: withdrawStep },
  destroy: { title: 'destroying the old key', run: destroyStep },
};

/**
 * Carries out a step that `nextSteps` called due.
 *
 * @throws what is no fault that somebody translated: a mistake of ours
 */
export async function runStep(
  work: StepWork,
  entry: ManifestDomain,
  step: NextStep,
): Promise<StepOutcome> {
  const { domain } = entry;
  const subject = { domain, step: step.step, selectors: step.selectors };
  try {
    const run = await STEP_ROWS[step.step].run(work, { entry, selectors: step.selectors });
    const created = step.selectors.length > 0 ? [] : newSelectors(entry, run.entry);
    return { ...subject, ...run, selectors: [...step.selectors, ...created] };
  } catch (error) {
    if (!isLeaseLost(error)) {
      const result = step.step === 'destroy' ? leftToDestroyer(domain, error) : undefined;
      return { ...subject, entry, result: result ?? faultOf(error), notes: [] };
    }
    const newest = (await work.access.store.read()).domains.get(domain) ?? entry;
    return { ...subject, entry: newest, result: { kind: 'overtaken' }, notes: [] };
  }
}

/** A rotation need not be allowed to delete keys in KMS (docs/kms): that is no failure of it. */
function leftToDestroyer(domain: string, error: unknown): StepResult | undefined {
  if (!(error instanceof KmsError) || error.kind !== 'access-denied') return undefined;
  const command = `"waxseal keys destroy ${domain} --reason TEXT"`;
  const why = `${error.message}; ${command} is left to a role that may, and --no-destroy leaves it alone`;
  return { kind: 'waiting', why, atMs: undefined };
}

/** A step that is refused or fails does not keep the domain's other steps from being taken. */
function faultOf(error: unknown): StepResult {
  if (!(error instanceof WaxsealError)) throw error;
  const kind = error instanceof KeysRefusal ? 'operator' : 'failed';
  return { kind, why: error.message, action: error.hint ?? 'run the command again' };
}

/** The families that still lack a key, decided under the lease: twenty at once make one set. */
async function createStep(work: StepWork, { entry }: StepTarget): Promise<StepRun> {
  const { access, policy, wishes } = work;
  const isOpen = wishState(entry, policy, access.clock.wallMs(), wishes.wish).kind === 'open';
  const dueIn = async (newest: ManifestDomain) =>
    (await stepsNow(work, newest)).filter(({ step, kind }) => step === 'create' && kind === 'due');
  // Those of another back end have their turn in the next round.
  const backend = (await dueIn(entry))[0]?.backend;
  const options = { ...createOptions(work, entry, backend), rotating: isOpen };
  const created = await createKeysOf(work.access, entry.domain, options, async (newest) => {
    const steps = await dueIn(newest);
    return steps
      .filter((step) => step.backend === backend)
      .flatMap(({ algorithms }) => algorithms ?? []);
  });
  const kind = created.added.length > 0 ? 'done' : 'overtaken';
  const isChosen = wishes.regions !== undefined;
  const regions = isChosen ? [] : regionNotes(created.added, work.configuredRegions ?? []);
  return { entry: created.entry, result: { kind }, notes: [...created.warnings, ...regions] };
}

function newSelectors(before: ManifestDomain, after: ManifestDomain): readonly string[] {
  const known = new Set(before.keys.map((key) => key.selector));
  return after.keys.map((key) => key.selector).filter((selector) => !known.has(selector));
}
