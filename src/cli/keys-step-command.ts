import { isLeaseLost } from '../keys/lifecycle/leased-domain.ts';
import type { ActionName, StepOutcome } from '../keys/lifecycle/step-outcome.ts';
import type { StepRun, StepTarget, StepWishes, StepWork } from '../keys/lifecycle/step-work.ts';
import type { ManifestDomain } from '../keys/manifest.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import {
  type AddKeysCommand,
  domainArgument,
  jsonText,
  selectorsArgument,
} from './keys-command.ts';
import {
  entryOf,
  type LifecycleRun,
  reasonArgument,
  runLifecycleCommand,
} from './keys-lifecycle.ts';
import { exitCodeOf, outcomeJson, writeOutcome } from './keys-step-report.ts';

/** Options that every command of one step has. */
export interface StepOptions {
  readonly selector: readonly string[];
  readonly json: boolean;
  readonly dryRun: boolean;
  readonly force?: boolean;
  readonly reason?: string;
  readonly adoptRecord?: boolean;
}

/** One row: a command that takes one step, or one way back, for keys of a domain. */
export interface StepCommandRow {
  readonly name: ActionName;
  readonly summary: string;
  readonly description: string;
  readonly help: string;
  /** Must a reason be given, for the journal? */
  readonly reason: boolean;
  /** Must the keys be named? */
  readonly selectorNeeded?: boolean;
  /** What `--force` does; undefined: there is none. */
  readonly force?: string;
  readonly adoptRecord?: boolean;
  /**
   * The keys that it is about; none: there is nothing to do.
   *
   * @throws KeysRefusal when the named keys are in no state for it
   */
  choose(entry: ManifestDomain, selectors: readonly string[]): readonly string[];
  /** What the run makes ready, in one line; for `--dry-run`. */
  readonly plan: string;
  run(work: StepWork, target: StepTarget, named: readonly string[]): Promise<StepRun>;
}

const EXIT_HELP = `
Exit codes: 0 done (or nothing to do), 1 failed, 2 wrong command line or configuration,
3 refused or left to you (the message says what to do), 4 waiting: not due, or not seen in DNS yet
`;

/** Somebody who is faster changes what is to be done; after so many times it is told. */
const MAX_ATTEMPTS = 5;

/** Adds the command of a row. */
export function stepCommand(row: StepCommandRow): AddKeysCommand {
  return (parent, context, parts) => {
    const command = parent
      .command(row.name)
      .summary(row.summary)
      .description(row.description)
      .argument('<domain>', 'the domain of the keys', domainArgument);
    const selector = ['--selector <name>', 'this key; may be repeated'] as const;
    if (row.selectorNeeded === true) command.requiredOption(...selector, selectorsArgument);
    else command.option(...selector, selectorsArgument, []);
    if (row.reason) {
      command.requiredOption('--reason <text>', 'why, for the journal', reasonArgument);
    }
    if (row.force !== undefined) command.option('--force', row.force, false);
    if (row.adoptRecord === true) {
      command.option('--adopt-record', 'take over a record that is exactly right already', false);
    }
    command
      .option('--dry-run', 'say what would be done, and do nothing', false)
      .option('--json', 'print JSON', false)
      .addHelpText('after', `${row.help}${EXIT_HELP}`)
      .action(async (domain: string, options: StepOptions) => {
        const named = { json: options.json, command: `keys ${row.name}` };
        await runLifecycleCommand(context, parts, named, async (run) =>
          take(run, row, domain, options),
        );
      });
  };
}

async function take(
  run: LifecycleRun,
  row: StepCommandRow,
  domain: string,
  options: StepOptions,
): Promise<ExitCode> {
  let entry = entryOf(run, domain);
  const work = run.work(domain, wishesOf(options));
  const subject = { domain, step: row.name, notes: [] };
  for (let attempt = 1; ; attempt += 1) {
    const selectors = row.choose(entry, options.selector);
    if (selectors.length === 0 || options.dryRun) return nothingDone(run, row, domain, selectors);
    const target = { entry, selectors };
    const outcome = await takeOnce(row, work, target, options.selector, subject);
    if (outcome.result.kind === 'overtaken' && attempt < MAX_ATTEMPTS) {
      ({ entry } = outcome);
      continue;
    }
    if (run.json) run.context.stdout(jsonText(outcomeJson(outcome)));
    else writeOutcome(run.context, outcome);
    return exitCodeOf([outcome.result]);
  }
}

async function takeOnce(
  row: StepCommandRow,
  work: StepWork,
  target: StepTarget,
  named: readonly string[],
  subject: Pick<StepOutcome, 'domain' | 'step' | 'notes'>,
): Promise<StepOutcome> {
  const { selectors } = target;
  try {
    return { ...subject, selectors, ...(await row.run(work, target, named)) };
  } catch (error) {
    if (!isLeaseLost(error)) throw error;
    const entry = (await work.access.store.read()).domains.get(subject.domain) ?? target.entry;
    return { ...subject, selectors, entry, result: { kind: 'overtaken' } };
  }
}

function nothingDone(
  run: LifecycleRun,
  row: StepCommandRow,
  domain: string,
  selectors: readonly string[],
): ExitCode {
  const isPlan = selectors.length > 0;
  if (run.json) {
    const outcome = isPlan ? 'planned' : 'unchanged';
    run.context.stdout(jsonText({ domain, step: row.name, selectors, outcome, plan: row.plan }));
  } else if (isPlan) {
    run.context.stdout(`${domain}: ${selectors.join(', ')}: would be done: ${row.plan}\n`);
  } else {
    run.context.stdout(`${domain}: nothing to do: no key is in a state for that\n`);
  }
  return EXIT.ok;
}

function wishesOf(options: StepOptions): Partial<StepWishes> {
  const { force, reason, adoptRecord } = options;
  return {
    force: force === true,
    adopt: adoptRecord === true,
    reason,
  };
}
