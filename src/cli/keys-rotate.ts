import { Option } from 'commander';
import { BACKEND_NAMES } from '../keys/backend-names.ts';
import { BACKENDS } from '../keys/backends.ts';
import { isFallBack } from '../keys/fall-back.ts';
import { familyOf } from '../keys/key-algorithm.ts';
import { KeysRefusal } from '../keys/keys-error.ts';
import { advance } from '../keys/lifecycle/advance.ts';
import { nextSet } from '../keys/lifecycle/fresh-steps.ts';

import {
  createOptions,
  isKeptAside,
  type StepWork,
  stepsNow,
} from '../keys/lifecycle/step-work.ts';
import type { ManifestDomain, ManifestKey } from '../keys/manifest.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { type AddKeysCommand, domainArgument, jsonText, ttlArgument } from './keys-command.ts';
import { algorithmArgument } from './keys-create.ts';
import { addIgnoreServer, noteIgnored, refuseIgnoredWithoutReason } from './keys-ignore-server.ts';
import {
  countArgument,
  durationArgument,
  type LifecycleRun,
  runLifecycleCommand,
} from './keys-lifecycle.ts';
import { addRegions, refuseRegions } from './keys-regions.ts';
import { rotateDue } from './keys-rotate-due.ts';
import {
  advanceCode,
  advanceJson,
  advanceOptions,
  type RotateOptions,
  rotateWishes,
  writeAdvance,
} from './keys-rotate-report.ts';
import { nextJson, nextTexts } from './keys-step-report.ts';

const HELP = `
Makes new keys, publishes their records, waits until DNS shows them everywhere, and lets them sign. Then it
says when the old keys will be withdrawn and destroyed, and ends: "rotate --due --step", run by a scheduled
job, does that when it is due. It may be interrupted at any point and run again: it goes on with the same
keys. Twenty at once do the work once.

  waxseal keys rotate example.com                 all the way to new keys that sign, waiting for DNS
  waxseal keys rotate example.com --step          what can be done now, without waiting
  waxseal keys rotate --due --step                the same for each domain that needs it: for cron, hourly
  waxseal keys rotate --due --step --max 200 --concurrency 8

--due selects each domain whose active key is older than keys.rotation.rotateAfterDays, and also takes the
steps that are due for old keys: revoke and destroy. The oldest go first. One domain goes alone, as a
canary; the others only after one has gone well. --max spreads the work over several runs.

New keys in KMS are in the Regions of the keys that they succeed, as far as kms.regions still has them;
--regions names others. With --due it is for all new keys whose back end has Regions.

--no-destroy is for jobs whose role may not delete keys in KMS; without it such a key is told of in each run.
--ignore-server ADDRESS leaves out a name server that is known to be broken, with --reason for the journal.

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 a step is left to you (the message says
what to do), 4 waiting: not seen in DNS yet, or not due. With --due waiting is nothing to tell of: the next run
goes on, and the code is 0. 130 and the like: interrupted; the next run goes on
`;

const DEFAULT_TIMEOUT_MS = 7_200_000;

/** `keys rotate [DOMAIN]` */
export const addKeysRotate: AddKeysCommand = (parent, context, parts) => {
  const rotating = parent
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
    );
  addRegions(rotating)
    .option('--ttl <seconds>', 'TTL of new records; default: as now', ttlArgument)
    .option(
      '--force',
      'activate Ed25519 without RSA beside it, and without a trial signature here',
      false,
    )
    .addOption(
      new Option('--timeout <time>', 'longest wait without --step')
        .argParser(durationArgument)
        .default(DEFAULT_TIMEOUT_MS, '2h'),
    )
    .addOption(
      new Option('--max <count>', 'with --due: most domains in this run')
        .argParser(countArgument)
        .default(999_999, 'all'),
    )
    .option('--concurrency <count>', 'with --due: domains at the same time', countArgument, 4)
    .option(
      '--stop-after-failures <count>',
      'with --due: begin no more domains then',
      countArgument,
      5,
    )
    .option('--no-destroy', 'leave the destruction of old keys to "waxseal keys destroy"')
    .option('--dry-run', 'say what would be done, and do nothing', false);
  addIgnoreServer(rotating, false);
  rotating
    .option('--json', 'print JSON; with --due one object a line', false)
    .addHelpText('after', HELP)
    .action(async (domain: string | undefined, options: RotateOptions, command) => {
      if ((domain === undefined) !== options.due) {
        command.error('error: name a domain, or say --due for all that need it');
      }
      refuseIgnoredWithoutReason(command, options);
      const { json, backend, due } = options;
      const named = { json, command: 'keys rotate', mayBeEmpty: !due, backend };
      await runLifecycleCommand(context, parts, named, async (run) =>
        domain === undefined
          ? await rotateDue(run, options)
          : await rotateOne(run, domain, options),
      );
    });
};

/**
 * New keys that are there already are gone on with; they must be what was asked for.
 *
 * @throws KeysRefusal `key-choice`
 */
function refuseOtherKeys(work: StepWork, entry: ManifestDomain, options: RotateOptions): void {
  const { domain } = entry;
  const asked = options.algorithm ?? [];
  const isSpare = (key: ManifestKey) => isKeptAside(work, entry, key);
  const other = [...nextSet(entry, isSpare).values()].find((key) => {
    const wanted = asked.find(({ family }) => family === familyOf(key));
    const isOther = wanted !== undefined && wanted.name !== key.algorithm;
    const isElsewhere = options.regions !== undefined && !isIn(key, options.regions);
    return isOther || isElsewhere || (options.backend ?? key.backend) !== key.backend;
  });
  if (other === undefined) return;
  const { selector, algorithm, backend, material } = other;
  const regions = BACKENDS[backend].regionsOf?.(material) ?? [];
  const where = regions.length === 0 ? '' : ` in ${regions.join(', ')}`;
  // Without its name abort leaves alone what stands in for an active key.
  const named = work.fallBacks && isFallBack(entry, other) ? ` --selector ${selector}` : '';
  const message = `${domain} has a new key already, ${selector}: ${algorithm} with ${backend}${where}, and not what is asked for`;
  throw new KeysRefusal('key-choice', message, {
    hint: `"waxseal keys abort ${domain}${named}" gives it up; without --algorithm, --backend and --regions it is gone on with`,
  });
}

/** True also where the back end has no Regions: that is told elsewhere. */
function isIn({ backend, material }: ManifestKey, regions: readonly string[]): boolean {
  const its = BACKENDS[backend].regionsOf?.(material) ?? regions;
  return its[0] === regions[0] && its.toSorted().join() === regions.toSorted().join();
}

async function rotateOne(
  run: LifecycleRun,
  domain: string,
  options: RotateOptions,
): Promise<ExitCode> {
  const entry = run.snapshot.domains.get(domain) ?? { domain, subdomains: false, keys: [] };
  const sinceMs = run.access.clock.wallMs();
  const work = run.work(domain, {
    ...rotateWishes(options),
    wish: { kind: 'asked', sinceMs, again: options.again },
  });
  if (options.regions !== undefined) refuseRegions(createOptions(work, entry).backend);
  if (options.dryRun) {
    const steps = await stepsNow(work, entry);
    if (run.json) run.context.stdout(jsonText({ domain, next: steps.map(nextJson) }));
    else for (const text of nextTexts(domain, steps)) run.context.stdout(`${text}\n`);
    if (!run.json && steps.length === 0) run.context.stdout(`${domain}: nothing to do now\n`);
    return EXIT.ok;
  }
  refuseOtherKeys(work, entry, options);
  await noteIgnored(run.access, domain, options);
  const advanced = await advance(work, entry, advanceOptions(options));
  if (run.json) run.context.stdout(jsonText(advanceJson(domain, advanced)));
  else writeAdvance(run, domain, advanced, options.step);
  return advanceCode(advanced);
}
