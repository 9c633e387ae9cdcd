import { isLeaseLost } from '../keys/lifecycle/leased-domain.ts';
import type { RotationPolicy } from '../keys/lifecycle/policy.ts';
import { withStandIns } from '../keys/lifecycle/stand-in-times.ts';
import type { ActionName, StepOutcome } from '../keys/lifecycle/step-outcome.ts';
import type { StepRun, StepTarget, StepWishes, StepWork } from '../keys/lifecycle/step-work.ts';
import type { ManifestDomain, ManifestKey } from '../keys/manifest.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import {
  type AddKeysCommand,
  domainArgument,
  jsonText,
  selectorsArgument,
} from './keys-command.ts';
import {
  addIgnoreServer,
  ignoredServers,
  noteIgnored,
  refuseIgnoredWithoutReason,
} from './keys-ignore-server.ts';
import {
  entryOf,
  type LifecycleRun,
  reasonArgument,
  runLifecycleCommand,
} from './keys-lifecycle.ts';
import { refuseRevealOff, revealCode, revealKeys, writeRevealed } from './keys-reveal.ts';
import {
  exitCodeOf,
  outcomeJson,
  timeJson,
  timeText,
  worstCode,
  writeOutcome,
} from './keys-step-report.ts';

/** Options that every command of one step has. */
export interface StepOptions {
  readonly selector: readonly string[];
  readonly json: boolean;
  readonly dryRun: boolean;
  readonly force?: boolean;
  readonly reason?: string;
  readonly adoptRecord?: boolean;
  readonly ignoreServer?: readonly string[];
  readonly reveal?: boolean;
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
  /** It looks at DNS, and may be told to leave a broken name server out. */
  readonly ignoreServer?: boolean;
  /** What `--reveal` does; undefined: there is none. */
  readonly reveal?: string;
  /** What is missing where there is nothing to do. */
  readonly nothing: string;
  /** It does not wait until other parts of the keyring are mended. */
  readonly isUrgent?: boolean;
  /**
   * The keys that it is about; none: there is nothing to do.
   *
   * @throws KeysRefusal when the named keys are in no state for it
   */
  choose(entry: ManifestDomain, selectors: readonly string[], work: StepWork): readonly string[];
  /** What would be done, in one line; for `--dry-run`. `PUBLISHER` stands for the domain's own. */
  readonly plan: string;
  /** Since when the step is due for a key, in milliseconds since the epoch; undefined: at once. */
  dueMs?(key: ManifestKey, policy: RotationPolicy): number | undefined;
  run(work: StepWork, target: StepTarget, named: readonly string[]): Promise<StepRun>;
}

const EXIT_HELP = `
Exit codes: 0 done (or nothing to do), 1 failed, 2 wrong command line or configuration,
3 refused or left to you (the message says what to do), 4 waiting: not due, or not seen in DNS yet
`;

/** Somebody who is faster changes what is to be done; after so many times it is told. */
const MAX_ATTEMPTS = 5;
const ALWAYS_OVERTAKEN = {
  kind: 'failed',
  why: 'somebody else changed the keys each time before this was done',
  action: 'see "waxseal keys history" for who that is, and run the command again',
} as const;

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
    if (row.ignoreServer === true) addIgnoreServer(command, row.reason);
    if (row.reveal !== undefined) command.option('--reveal', row.reveal, false);
    command
      .option('--dry-run', 'say what would be done, and do nothing', false)
      .option('--json', 'print JSON', false)
      .addHelpText('after', `${row.help}${EXIT_HELP}`)
      .action(async (domain: string, options: StepOptions) => {
        refuseIgnoredWithoutReason(command, options);
        const only = row.isUrgent === true ? domain : undefined;
        const named = { json: options.json, command: `keys ${row.name}`, only };
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
  const isRevealing = options.reveal === true;
  if (isRevealing) refuseRevealOff(run, domain);
  const work = run.work(domain, wishesOf(options));
  if (!options.dryRun) await noteIgnored(run.access, domain, options);
  const subject = { domain, step: row.name, notes: [] };
  for (let attempt = 1; ; attempt += 1) {
    const selectors = row.choose(entry, options.selector, work);
    const target = { entry, selectors };
    if (options.dryRun || (selectors.length === 0 && !isRevealing)) {
      const told = withStandIns(entry, await work.relays.of(domain));
      return nothingDone(run, row, { ...target, entry: told }, work.policy);
    }
    let outcome: StepOutcome =
      selectors.length === 0
        ? { ...subject, ...target, result: { kind: 'done' } }
        : await takeOnce(row, work, target, options.selector, subject);
    if (outcome.result.kind === 'overtaken') {
      ({ entry } = outcome);
      if (attempt < MAX_ATTEMPTS) continue;
      outcome = { ...outcome, result: ALWAYS_OVERTAKEN };
    }
    const revealed = isRevealing
      ? await revealKeys(run, outcome.entry, options.selector)
      : undefined;
    if (run.json) run.context.stdout(jsonText({ ...outcomeJson(outcome), revealed }));
    else {
      if (selectors.length > 0) writeOutcome(run.context, outcome);
      if (revealed !== undefined) writeRevealed(run.context, domain, revealed);
    }
    return worstCode([exitCodeOf([outcome.result]), revealCode(revealed ?? [])]);
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
  { entry, selectors }: StepTarget,
  policy: RotationPolicy,
): ExitCode {
  const { domain } = entry;
  const publisher = run.access.publisherFor(domain);
  publisher.close();
  const plan = row.plan.replace('PUBLISHER', publisher.name);
  const keys = entry.keys
    .filter((key) => selectors.includes(key.selector))
    .map((key) => ({ selector: key.selector, atMs: row.dueMs?.(key, policy) }));
  if (run.json) {
    const subject = { domain, step: row.name, selectors };
    const due = keys.map(({ selector, atMs }) => ({ selector, at: timeJson(atMs) }));
    const rest =
      keys.length === 0
        ? { outcome: 'unchanged', why: row.nothing }
        : { outcome: 'planned', plan, publisher: publisher.name, keys: due };
    run.context.stdout(jsonText({ ...subject, ...rest }));
  } else if (keys.length === 0) {
    run.context.stdout(`${domain}: nothing to do: ${row.nothing}\n`);
  }
  const nowMs = run.access.clock.wallMs();
  for (const { selector, atMs } of run.json ? [] : keys) {
    const isLater = atMs !== undefined && atMs > nowMs;
    const when = isLater ? `, not before ${timeText(atMs)}` : '';
    run.context.stdout(`${domain}: ${selector}: would be done${when}: ${plan}\n`);
  }
  return EXIT.ok;
}

function wishesOf(options: StepOptions): Partial<StepWishes> {
  const { force, reason, adoptRecord } = options;
  return {
    force: force === true,
    adopt: adoptRecord === true,
    seen: ignoredServers(options),
    reason,
  };
}
