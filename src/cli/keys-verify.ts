import { Option } from 'commander';
import { chooseKeys } from '../keys/lifecycle/choose-keys.ts';
import { daysText } from '../keys/lifecycle/policy.ts';
import { RotationWatch } from '../keys/lifecycle/rotation-watch.ts';
import type { StepOutcome } from '../keys/lifecycle/step-outcome.ts';
import type { StepWork } from '../keys/lifecycle/step-work.ts';
import { verifyStep } from '../keys/lifecycle/verify-step.ts';
import type { ManifestDomain } from '../keys/manifest.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import {
  type AddKeysCommand,
  domainArgument,
  jsonText,
  selectorsArgument,
  writeWarnings,
} from './keys-command.ts';
import {
  addIgnoreServer,
  type IgnoreServerOptions,
  ignoredServers,
  noteIgnored,
  refuseIgnoredWithoutReason,
} from './keys-ignore-server.ts';
import {
  durationArgument,
  entryOf,
  type LifecycleRun,
  runLifecycleCommand,
} from './keys-lifecycle.ts';
import { exitCodeOf, outcomeJson, timeText, writeOutcome } from './keys-step-report.ts';

const HELP = `
A record counts as seen when every address of every authoritative server shows exactly it. Then the time is
waited out for which caches may hold an older answer, and servers and resolvers are asked once more. Only
then may the key sign. Nothing is locked meanwhile: stop it and run it again as you like.

--ignore-server ADDRESS leaves a server out that is known to be broken; the reason goes into the journal.

Exit codes: 0 seen (or nothing to do), 1 failed, 2 wrong command line or configuration, 3 DNS shows something
else, 4 not seen everywhere yet: the message says what is missing where
`;

interface VerifyOptions extends IgnoreServerOptions {
  readonly selector: readonly string[];
  readonly timeout: number;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** Between two looks at DNS. */
const POLL_MS = 15_000;
const DEFAULT_TIMEOUT_MS = 900_000;

/** `keys verify DOMAIN` */
export const addKeysVerify: AddKeysCommand = (parent, context, parts) => {
  const verifying = parent
    .command('verify')
    .summary('wait until DNS shows the records of new keys everywhere')
    .description('Waits until every authoritative server shows the records of the new keys.')
    .argument('<domain>', 'the domain of the keys', domainArgument)
    .option('--selector <name>', 'this key; may be repeated', selectorsArgument, [])
    .addOption(
      new Option('--timeout <time>', 'how long to wait; 0: look once')
        .argParser(durationArgument)
        .default(DEFAULT_TIMEOUT_MS, '15m'),
    )
    .option('--dry-run', 'say what would be looked for', false);
  addIgnoreServer(verifying, false);
  verifying
    .option('--json', 'print JSON', false)
    .addHelpText('after', HELP)
    .action(async (domain: string, options: VerifyOptions, command) => {
      refuseIgnoredWithoutReason(command, options);
      const named = { json: options.json, command: 'keys verify' };
      await runLifecycleCommand(context, parts, named, async (run) => verify(run, domain, options));
    });
};

async function verify(
  run: LifecycleRun,
  domain: string,
  options: VerifyOptions,
): Promise<ExitCode> {
  const entry = entryOf(run, domain);
  const chosen = chooseKeys(entry, options.selector, ['created', 'published', 'verified']);
  const created = chosen.filter((key) => key.state === 'created').map((key) => key.selector);
  const selectors = chosen.filter((key) => key.state === 'published').map((key) => key.selector);
  if (created.length > 0) {
    const next = `run "waxseal keys publish ${domain}" first`;
    writeWarnings(run, [`${created.join(', ')} is not published; ${next}`]);
  }
  if (selectors.length === 0 || options.dryRun) {
    const outcome = selectors.length === 0 ? 'unchanged' : 'planned';
    if (run.json) run.context.stdout(jsonText({ domain, step: 'verify', selectors, outcome }));
    else if (selectors.length === 0) run.context.stdout(`${domain}: no key waits for DNS\n`);
    else run.context.stdout(`${domain}: ${selectors.join(', ')}: would be looked for in DNS\n`);
    return created.length > 0 ? EXIT.refused : EXIT.ok;
  }
  const work = run.work(domain, { seen: ignoredServers(options), reason: options.reason });
  await noteIgnored(run.access, domain, options);
  const outcome = await untilSeen(work, entry, selectors, options.timeout);
  if (run.json) run.context.stdout(jsonText(outcomeJson(outcome)));
  else writeOutcome(run.context, outcome);
  return exitCodeOf([outcome.result]);
}

async function untilSeen(
  work: StepWork,
  start: ManifestDomain,
  selectors: readonly string[],
  timeoutMs: number,
): Promise<StepOutcome> {
  const { access } = work;
  const deadlineMs = access.clock.monotonicMs() + timeoutMs;
  const watch = new RotationWatch(access, start, 'verify', selectors);
  let entry = start;
  for (;;) {
    const run = await verifyStep(work, { entry, selectors });
    const { result } = run;
    ({ entry } = run);
    const outcome = { domain: entry.domain, step: 'verify' as const, selectors, ...run };
    // Who ends the keys during a look is faster than it.
    const ended = result.kind === 'overtaken' ? await watch.stop() : undefined;
    if (ended !== undefined) return { ...outcome, result: ended };
    if (result.kind !== 'waiting') return outcome;
    const restMs = (result.atMs ?? 0) - access.clock.wallMs();
    const waitMs = restMs > 0 ? restMs : POLL_MS;
    if (access.clock.monotonicMs() + waitMs > deadlineMs) return outcome;
    if (access.interruption?.heed() === true) return outcome;
    const until = timeText(access.clock.wallMs() + waitMs);
    access.progress(`${entry.domain}: ${result.why}; next look in ${daysText(waitMs)} (${until})`);
    for (let leftMs = waitMs; leftMs > 0; leftMs -= POLL_MS) {
      await access.sleep(Math.min(leftMs, POLL_MS));
      if (access.interruption?.heed() === true) return outcome;
      const stopped = await watch.stop();
      if (stopped !== undefined) return { ...outcome, result: stopped };
    }
  }
}
