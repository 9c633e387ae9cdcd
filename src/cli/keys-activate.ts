import { chooseForActivation, refuseEd25519Alone, withActive } from '../keys/activate-keys.ts';
import { KEY_STATE_ROWS } from '../keys/key-state.ts';
import { activateAtOnce } from '../keys/lifecycle/activate-at-once.ts';
import { activateByHand } from '../keys/lifecycle/activate-by-hand.ts';
import { lookAtKey, missingText } from '../keys/lifecycle/look-at-dns.ts';
import { isKeptAside, type StepRun } from '../keys/lifecycle/step-work.ts';
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
import { exitCodeOf, outcomeJson, writeOutcome } from './keys-step-report.ts';

const HELP = `
Each condition is checked: every authoritative server and the resolvers must show exactly the key's record,
the time for which caches may hold an older answer must be over, every relay that reports must be able to use
the key (where none does, keys.rotation.authLagMs is waited out), and it must be able to sign here. What is
missing is told, nothing is activated, and the same command goes on from there. A key whose record is for you
to write need not be published first: "create" has shown the record.

The active key of the same kind becomes "retiring": leave its DNS record in place, since mail that it signed
is still under way. Relays take the change over within seconds (keys.watchMs). To go back:
waxseal keys rollback DOMAIN --reason TEXT

--force activates whatever DNS shows, and does not wait for relays; it says what each server said, and the
journal keeps that and the --reason. The key must be able to sign here all the same.

Exit codes: 0 done (or active already), 1 failed, 2 wrong command line or configuration,
3 refused or left to you (the message says what to do), 4 waiting: not seen in DNS yet, or not due
`;

interface ActivateOptions {
  readonly selector: readonly string[];
  readonly ignoreServer?: readonly string[];
  readonly reason?: string;
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** `keys activate DOMAIN` */
export const addKeysActivate: AddKeysCommand = (parent, context, parts) => {
  const command = parent
    .command('activate')
    .summary('sign with the new keys, once DNS shows them')
    .description('Lets new keys of a domain sign, after checking that nothing speaks against it.')
    .argument('<domain>', 'the domain of the keys', domainArgument)
    .option('--selector <name>', 'this key only; may be repeated', selectorsArgument, [])
    .option('--force', 'even if DNS does not show the record: receivers may reject mail', false)
    .option(
      '--reason <text>',
      'why it is forced, or a server ignored; for the journal',
      reasonArgument,
    );
  addIgnoreServer(command, true);
  command
    .option('--dry-run', 'look at DNS, and write nothing', false)
    .option('--json', 'print JSON', false)
    .addHelpText('after', HELP)
    .action(async (domain: string, options: ActivateOptions) => {
      refuseIgnoredWithoutReason(command, options);
      const named = { json: options.json, command: 'keys activate' };
      await runLifecycleCommand(context, parts, named, async (run) =>
        activate(run, entryOf(run, domain), options),
      );
    });
};

async function activate(
  run: LifecycleRun,
  entry: ManifestDomain,
  options: ActivateOptions,
): Promise<ExitCode> {
  const { domain } = entry;
  const work = run.work(domain, {
    seen: ignoredServers(options),
    force: options.force,
    reason: options.reason,
  });
  const candidates =
    options.selector.length > 0
      ? entry
      : {
          ...entry,
          keys: entry.keys.filter((key) => !isFresh(key) || !isKeptAside(work, entry, key)),
        };
  const keys = chooseForActivation(candidates, options.selector);
  const selectors = keys.map((key) => key.selector);
  if (keys.length === 0) return nothingToDo(run, entry);
  if (!options.force) refuseEd25519Alone(withActive(entry, keys, run.access.clock.wallMs()));
  if (options.dryRun) return await look(run, entry, keys, options);
  await noteIgnored(run.access, domain, options);
  const take = options.force ? activateAtOnce : activateByHand;
  const step = await take(work, entry, selectors);
  const outcome = { domain, step: 'activate' as const, selectors, ...step };
  const retiring = newlyRetiring(entry, step.entry);
  if (run.json) run.context.stdout(jsonText({ ...outcomeJson(outcome), retiring }));
  else {
    writeOutcome(run.context, { ...outcome, notes: [] });
    for (const text of step.notes) run.context.stderr(`warning: ${text}\n`);
    writeAfterwards(run, domain, step, retiring);
  }
  return exitCodeOf([step.result]);
}

function isFresh({ state }: ManifestKey): boolean {
  return KEY_STATE_ROWS[state].fresh;
}

function nothingToDo(run: LifecycleRun, { domain, keys }: ManifestDomain): ExitCode {
  const active = keys.filter((key) => KEY_STATE_ROWS[key.state].signs).map((key) => key.selector);
  if (run.json) {
    const subject = { domain, step: 'activate', selectors: [] };
    run.context.stdout(jsonText({ ...subject, outcome: 'unchanged', active }));
  } else run.context.stdout(`${domain}: nothing to do, active: ${active.join(', ')}\n`);
  return EXIT.ok;
}

/** `--dry-run` */
async function look(
  run: LifecycleRun,
  { domain }: ManifestDomain,
  keys: readonly ManifestKey[],
  options: ActivateOptions,
): Promise<ExitCode> {
  const looks = await Promise.all(
    keys.map(async (key) => {
      const report = await lookAtKey(run.access, domain, key, ignoredServers(options));
      const isSeen = report.verdict === 'seen';
      return { selector: key.selector, dns: isSeen ? 'seen' : missingText(report), isSeen };
    }),
  );
  if (run.json) {
    const selectors = keys.map((key) => key.selector);
    const found = looks.map(({ selector, dns }) => ({ selector, dns }));
    const plan = { domain, step: 'activate', selectors, outcome: 'planned', keys: found };
    run.context.stdout(jsonText(plan));
  } else {
    for (const { selector, dns } of looks) {
      run.context.stdout(`${domain}: ${selector}: would be activated; DNS: ${dns}\n`);
    }
  }
  return looks.every(({ isSeen }) => isSeen) ? EXIT.ok : EXIT.waiting;
}

function newlyRetiring(before: ManifestDomain, after: ManifestDomain): readonly string[] {
  const signed = before.keys.filter((key) => KEY_STATE_ROWS[key.state].signs);
  return after.keys
    .filter(
      ({ state, selector }) =>
        state === 'retiring' && signed.some((key) => key.selector === selector),
    )
    .map((key) => key.selector);
}

function writeAfterwards(
  run: LifecycleRun,
  domain: string,
  { result, entry }: StepRun,
  retiring: readonly string[],
): void {
  const { stdout, stderr } = run.context;
  if (result.kind === 'waiting' && entry.keys.some(({ state }) => state === 'published')) {
    stderr(
      `hint: "waxseal keys export-dns ${domain}" prints the records, "waxseal keys verify ${domain}" waits\n`,
    );
  }
  if (result.kind !== 'done') return;
  if (retiring.length > 0) {
    stdout(`${domain}: ${retiring.join(', ')}: retiring; leave the DNS record in place\n`);
  }
  stdout('Running relays use them within seconds.\n');
}
