import { KeysRefusal } from '../keys/keys-error.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import {
  type AddKeysCommand,
  domainArgument,
  jsonText,
  type KeysRun,
  runKeysCommand,
  selectorsArgument,
  writeWarnings,
} from './keys-command.ts';
import { dnsRecords, dnsRecordsText, recordWarnings } from './keys-text.ts';

const HELP = `
A TXT record consists of strings of at most 255 octets; the zone line has them split and quoted.
The web forms of most DNS providers want the one unsplit value and split it themselves.

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 no such domain or selector
`;

interface DnsOptions {
  readonly selector: readonly string[];
  readonly json: boolean;
}

/** `keys dns DOMAIN` */
export const addKeysDns: AddKeysCommand = (parent, context, parts) => {
  parent
    .command('dns')
    .summary('print the DNS records that the keys need')
    .description("Prints the TXT records of a domain's keys, for zone files and for web forms.")
    .argument('<domain>', 'the domain of the keys', domainArgument)
    .option('--selector <name>', 'this key only; may be repeated', selectorsArgument, [])
    .option('--json', 'print JSON', false)
    .addHelpText('after', HELP)
    .action(async (domain: string, options: DnsOptions) => {
      await runKeysCommand(context, parts, options.json, async (run) =>
        printRecords(run, domain, options.selector),
      );
    });
};

async function printRecords(
  run: KeysRun,
  domain: string,
  selectors: readonly string[],
): Promise<ExitCode> {
  const entry = (await run.access.store.read()).domains.get(domain);
  if (entry === undefined) {
    throw new KeysRefusal('key-domain-unknown', `the keyring has no domain ${domain}`, {
      hint: `"waxseal keys create ${domain}" makes its keys`,
    });
  }
  const unknown = selectors.find((name) => !entry.keys.some((key) => key.selector === name));
  if (unknown !== undefined) {
    throw new KeysRefusal('key-selector-unknown', `${domain} has no key with selector ${unknown}`, {
      hint: `it has: ${entry.keys.map((key) => key.selector).join(', ')}`,
    });
  }
  const keys = entry.keys.filter(
    (key) => selectors.length === 0 || selectors.includes(key.selector),
  );
  const records = dnsRecords(entry, keys);
  writeWarnings(run, recordWarnings(records));
  if (run.json) run.context.stdout(jsonText({ records }));
  else if (records.length > 0) run.context.stdout(dnsRecordsText(records));
  else run.context.stderr(`${domain}: none of the keys has a record\n`);
  return EXIT.ok;
}
