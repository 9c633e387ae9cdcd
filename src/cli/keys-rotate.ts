import { Option } from 'commander';
import { BACKEND_NAMES } from '../keys/backend-names.ts';
import { advance } from '../keys/lifecycle/advance.ts';
import { stepsNow } from '../keys/lifecycle/step-work.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { type AddKeysCommand, domainArgument, jsonText, ttlArgument } from './keys-command.ts';
import { algorithmArgument } from './keys-create.ts';
import {
  addIgnoredServers,
  ignoredServers,
  noteIgnoredServers,
  requireReason,
} from './keys-ignored-servers.ts';
import {
  countArgument,
  durationArgument,
  type LifecycleRun,
  runLifecycleCommand,
} from './keys-lifecycle.ts';
import { rotateDue } from './keys-rotate-due.ts';
import {
  advanceCode,
  advanceJson,
  advanceOptions,
  type RotateOptions,
  rotateWishes,
  writeAdvance,
} from './keys-rotate-report.ts';
import { nextJson, nextText } from './keys-step-report.ts';

const HELP = `
Makes new keys, publishes their records, waits until DNS shows them everywhere, and lets them sign. Then it
says when the old keys will be withdrawn and destroyed, and ends: "rotate --due --step", run by a scheduled
job, does that when it is due. It may be killed at any point and run again; twenty at once do the work once.

  waxseal keys rotate example.com                 all the way to new keys that sign, waiting for DNS
  waxseal keys rotate example.com --step          what can be done now, without waiting
  waxseal keys rotate --due --step                the same for each domain that needs it: for cron, hourly
  waxseal keys rotate --due --step --max 200 --concurrency 8

--due selects each domain whose active key is older than keys.rotation.rotateAfterDays, and also takes the
steps that are due for old keys: revoke and destroy. The oldest go first. One domain goes alone, as a
canary; the others only after one has gone well. --max spreads the work over several runs.

--ignore-server ADDRESS leaves a name server out that is known to be broken; the reason goes into the journal.

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 a step is left to you (the message says
what to do), 4 waiting: not seen in DNS yet, or not due
`;

const DEFAULT_TIMEOUT_MS = 7_200_000;

/** `keys rotate [DOMAIN]` */
export const addKeysRotate: AddKeysCommand = (parent, context, parts) => {
  const rotateCommand = parent
    .command('rotate')
    .summary('new keys for a domain, all the way; or all that is due')
    .description('Rotates the keys of a domain, or takes the steps that are due for all domains.')
    .argument('[domain]', 'the domain; none with --due: all', domainArgument)
    .option('--step', 'take each step that is due, and never wait', false)
    .option('--due', 'each domain that needs it, instead of a named one', false)
    .option('--again', 'even though the last rotation is not over, or was today', false)
    .option('--algorithm <name>', 'for new keys; default: as now', algorithmArgument)
    .addOption(
      new Option('--backend <name>', 'for new keys; default: as now').choices(BACKEND_NAMES),
    )
    .option('--ttl <seconds>', 'TTL of new records; default: as now', ttlArgument)
    .option(
      '--force',
      'activate Ed25519 without RSA beside it, and without a trial signature here',
      false,
    )
    .option('--timeout <time>', 'longest wait without --step', durationArgument, DEFAULT_TIMEOUT_MS)
    .option('--max <count>', 'with --due: most domains in this run', countArgument, 999_999)
    .option('--concurrency <count>', 'with --due: domains at the same time', countArgument, 4)
    .option(
      '--stop-after-failures <count>',
      'with --due: begin no more domains then',
      countArgument,
      5,
    );
  addIgnoredServers(rotateCommand)
    .option('--dry-run', 'say what would be done, and do nothing', false)
    .option('--json', 'print JSON; with --due one object a line', false)
    .addHelpText('after', HELP)
    .action(async (domain: string | undefined, options: RotateOptions, command) => {
      if ((domain === undefined) !== options.due) {
        command.error('error: name a domain, or say --due for all that need it');
      }
      if (options.due && options.ignoreServer.length > 0) {
        command.error("error: option '--ignore-server' is for a named domain");
      }
      requireReason(command, options);
      const named = { json: options.json, command: 'keys rotate', mayBeEmpty: !options.due };
      await runLifecycleCommand(context, parts, named, async (run) =>
        domain === undefined
          ? await rotateDue(run, options)
          : await rotateOne(run, domain, options),
      );
    });
};

async function rotateOne(
  run: LifecycleRun,
  domain: string,
  options: RotateOptions,
): Promise<ExitCode> {
  const entry = run.snapshot.domains.get(domain) ?? { domain, subdomains: false, keys: [] };
  const sinceMs = run.access.clock.wallMs();
  const work = run.work(domain, {
    ...rotateWishes(options),
    seen: ignoredServers(options),
    wish: { kind: 'asked', sinceMs, again: options.again },
  });
  if (options.dryRun) {
    const steps = await stepsNow(work, entry);
    if (run.json) run.context.stdout(jsonText({ domain, next: steps.map(nextJson) }));
    else for (const step of steps) run.context.stdout(`${nextText(domain, step)}\n`);
    return EXIT.ok;
  }
  await noteIgnoredServers(run, domain, options);
  const advanced = await advance(work, entry, advanceOptions(options));
  if (run.json) run.context.stdout(jsonText(advanceJson(domain, advanced)));
  else writeAdvance(run, domain, advanced, options.step);
  return advanceCode(advanced);
}
