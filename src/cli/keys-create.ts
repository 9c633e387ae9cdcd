import { InvalidArgumentError } from 'commander';
import { type AddedKeys, createKeys } from '../keys/create-keys.ts';
import { DEFAULT_ALGORITHMS, KEY_ALGORITHMS, type KeyAlgorithm } from '../keys/key-algorithm.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import {
  type AddKeysCommand,
  addEntryOptions,
  domainArgument,
  jsonText,
  type KeysRun,
  runKeysCommand,
  writeWarnings,
} from './keys-command.ts';
import { dnsRecords, dnsRecordsText, recordWarnings } from './keys-text.ts';

const HELP = `
Nothing is signed with the new keys yet. Put the printed TXT records into DNS, wait until they are
there, then run "waxseal keys activate DOMAIN".

The first run also makes the master key (keys.masterKeyFile), which encrypts the private keys. Keep
a copy of it in a safe place, apart from the keyring.

Examples:
  waxseal keys create example.com
  waxseal keys create example.com --algorithm rsa4096 --subdomains

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 refused (the message says why)
`;

interface CreateOptions {
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
    );
  addEntryOptions(command)
    .addHelpText('after', HELP)
    .action(async (domain: string, options: CreateOptions) => {
      await runKeysCommand(context, parts, options.json, async (run) => {
        const added = await createKeys(run.access, {
          domain,
          algorithms: options.algorithm ?? DEFAULT_ALGORITHMS,
          subdomains: options.subdomains,
          ttlS: options.ttl,
        });
        return reportAdded(run, added, 'created');
      });
    });
};

/** Says what `create` or `import` added, and what to do next. */
export function reportAdded(run: KeysRun, added: AddedKeys, verb: string): ExitCode {
  const records = dnsRecords(added.domain, added.added);
  writeWarnings(run, [...added.warnings, ...recordWarnings(records)]);
  const { domain, subdomains } = added.domain;
  if (run.json) {
    run.context.stdout(jsonText({ domain, subdomains, keys: added.added, records }));
    return EXIT.ok;
  }
  const keys = added.added.map((key) => `  ${key.selector}  ${key.algorithm}\n`).join('');
  run.context.stdout(
    `${domain}: ${added.added.length} key(s) ${verb}, not active yet:\n${keys}\n` +
      `${dnsRecordsText(records)}\n` +
      `When DNS shows the record(s): waxseal keys activate ${domain}\n`,
  );
  return EXIT.ok;
}

function algorithmArgument(
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
