import { InvalidArgumentError, Option } from 'commander';
import { BACKEND_NAMES, type BackendName } from '../keys/backend-names.ts';
import { BY_HAND } from '../keys/dns/publisher.ts';
import { settingFor } from '../keys/dns/publisher-settings.ts';
import { DEFAULT_ALGORITHMS, KEY_ALGORITHMS, type KeyAlgorithm } from '../keys/key-algorithm.ts';
import { type CreatedKeys, createKeysOf } from '../keys/lifecycle/create-step.ts';
import { createOptions } from '../keys/lifecycle/step-work.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import {
  type AddKeysCommand,
  addEntryOptions,
  domainArgument,
  jsonText,
  writeWarnings,
} from './keys-command.ts';
import { type LifecycleRun, runLifecycleCommand } from './keys-lifecycle.ts';
import { addRegions, refuseRegions } from './keys-regions.ts';
import {
  type DnsRecordText,
  dnsRecords,
  dnsRecordsText,
  recordWarnings,
  shownKey,
} from './keys-text.ts';

const HELP = `
Nothing is signed with the new keys yet. Next: "waxseal keys publish DOMAIN" has their records written where
a publisher is set for the domain; else put the printed TXT records into DNS. Then "verify" and "activate", or
"waxseal keys rotate DOMAIN", which takes all the steps with the keys that are there.

The first run also makes the master key (keys.masterKeyFile), which encrypts the private keys. Keep
a copy of it in a safe place, apart from the keyring.

Examples:
  waxseal keys create example.com
  waxseal keys create example.com --algorithm rsa4096 --subdomains

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 refused (the message says why)
`;

interface CreateKeysOptions {
  readonly backend?: BackendName;
  readonly regions?: readonly string[];
  readonly dryRun: boolean;
  readonly algorithm?: readonly KeyAlgorithm[];
  readonly subdomains?: boolean;
  readonly ttl: number;
  readonly json: boolean;
}

/** `keys create DOMAIN` */
export const addKeysCreate: AddKeysCommand = (parent, context, parts) => {
  const names = KEY_ALGORITHMS.map((algorithm) => algorithm.name).join(', ');
  const command = parent
    .command('create')
    .summary('make new keys for a domain (not active yet)')
    .description('Makes new DKIM keys for a domain: one RSA-2048 and one Ed25519 key by default.')
    .argument('<domain>', 'the domain of the From addresses, e.g. example.com', domainArgument)
    .option(
      '--algorithm <name>',
      `${names} or both (rsa2048 and ed25519, the default); may be repeated`,
      algorithmArgument,
    )
    .addOption(
      new Option('--backend <name>', 'where the private key is; default: as now').choices(
        BACKEND_NAMES,
      ),
    );
  addRegions(command).option('--dry-run', 'say what would be made, and make nothing', false);
  addEntryOptions(command)
    .addHelpText('after', HELP)
    .action(async (domain: string, options: CreateKeysOptions) => {
      const { json, backend } = options;
      const named = { json, command: 'keys create', mayBeEmpty: true, backend };
      await runLifecycleCommand(context, parts, named, async (run) => create(run, domain, options));
    });
};

async function create(
  run: LifecycleRun,
  domain: string,
  options: CreateKeysOptions,
): Promise<ExitCode> {
  const before = run.snapshot.domains.get(domain);
  const { subdomains, ttl: ttlS, regions } = options;
  const work = run.work(domain, { backend: options.backend, subdomains, ttlS, regions });
  const entry = before ?? { domain, subdomains: false, keys: [] };
  const wishes = createOptions(work, entry);
  const { backend } = wishes;
  if (regions !== undefined) refuseRegions(backend);
  const algorithms = (options.algorithm ?? DEFAULT_ALGORITHMS).map((row) => row.name);
  if (options.dryRun) {
    const plan = { domain, algorithms, backend, regions, outcome: 'planned' };
    const where = regions === undefined ? '' : ` in ${regions.join(', ')}`;
    const text = `${domain}: would make ${algorithms.join(', ')} with ${backend}${where}\n`;
    run.context.stdout(run.json ? jsonText(plan) : text);
    return EXIT.ok;
  }
  const created = await createKeysOf(run.access, domain, wishes, async () => algorithms);
  return reportCreated(run, created);
}

/** Says what was made, and what to do next. */
function reportCreated(run: LifecycleRun, { entry, added, warnings }: CreatedKeys): ExitCode {
  const records = dnsRecords(entry, added);
  writeWarnings(run, [...warnings, ...recordWarnings(records)]);
  const { domain, subdomains } = entry;
  if (run.json) {
    run.context.stdout(jsonText({ domain, subdomains, keys: added.map(shownKey), records }));
    return EXIT.ok;
  }
  const keys = added.map((key) => `  ${key.selector}  ${key.algorithm}\n`).join('');
  run.context.stdout(
    `${domain}: ${added.length} key(s) created, not active yet:\n${keys}\n${nextText(run, domain, records)}`,
  );
  return EXIT.ok;
}

/** Records that nobody else writes are shown at once. */
function nextText(run: LifecycleRun, domain: string, records: readonly DnsRecordText[]): string {
  const publisher = run.access.publisherFor(domain);
  publisher.close();
  const isInSlots = settingFor(domain, run.settings.publishers ?? [])?.slotsUnder !== undefined;
  const all = `"waxseal keys rotate ${domain}" takes all steps`;
  if (publisher.name === BY_HAND && !isInSlots) {
    return `${dnsRecordsText(records)}\nWhen DNS shows the record(s): waxseal keys activate ${domain}; ${all}\n`;
  }
  const shown = `"waxseal keys export-dns ${domain}" shows their records`;
  return `Next: waxseal keys publish ${domain} (${publisher.name}); ${all}; ${shown}\n`;
}

/** Argument parser for a repeatable algorithm. */
export function algorithmArgument(
  text: string,
  others: readonly KeyAlgorithm[] = [],
): readonly KeyAlgorithm[] {
  const named =
    text === 'both'
      ? DEFAULT_ALGORITHMS
      : KEY_ALGORITHMS.filter((algorithm) => algorithm.name === text);
  if (named.length > 0) return [...others, ...named];
  const known = KEY_ALGORITHMS.map((algorithm) => algorithm.name).join(', ');
  throw new InvalidArgumentError(`It must be one of ${known}, both.`);
}
