import { InvalidArgumentError, Option } from 'commander';
import { EXPORT_FORMATS } from '../keys/dns/export/export-formats.ts';
import {
  type ExportedRecord,
  type ExportFormat,
  relativeName,
} from '../keys/dns/export/exported-record.ts';
import { settingFor } from '../keys/dns/publisher-settings.ts';
import { slotTarget } from '../keys/dns/slots.ts';
import { recordName } from '../keys/key-name.ts';
import { zoneLine } from '../keys/key-record.ts';
import { KeysRefusal } from '../keys/keys-error.ts';
import type { ManifestDomain } from '../keys/manifest.ts';
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
import { type DnsRecordText, dnsRecords, dnsRecordsText, recordWarnings } from './keys-text.ts';

const HELP = `
A TXT record consists of strings of at most 255 octets; the zone line has them split and quoted.
The web forms of most DNS providers want the one unsplit value and split it themselves.

Formats:
${EXPORT_FORMATS.map(({ name, description }) => `  ${name.padEnd(12)} ${description}`).join('\n')}

Of a domain whose keys stand in slots, the records of the keys stand elsewhere, and the domain itself
has CNAMEs; both are printed.

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 no such domain or selector
`;

interface DnsOptions {
  readonly selector: readonly string[];
  readonly format?: ExportFormat;
  readonly zone?: string;
  readonly json: boolean;
}

/** `keys export-dns DOMAIN`, which is also `keys dns` */
export const addKeysDns: AddKeysCommand = (parent, context, parts) => {
  parent
    .command('export-dns')
    .alias('dns')
    .summary('print the DNS records that the keys need')
    .description(
      "Prints the TXT records of a domain's keys, for zone files, for web forms and for programs.",
    )
    .argument('<domain>', 'the domain of the keys', domainArgument)
    .option('--selector <name>', 'this key only; may be repeated', selectorsArgument, [])
    .addOption(formatOption())
    .option('--zone <name>', 'zone of the records, for octodns (the domain itself)', zoneArgument)
    .option('--json', 'print JSON, with everything that is known of the records', false)
    .addHelpText('after', HELP)
    .action(async (domain: string, options: DnsOptions) => {
      await runKeysCommand(context, parts, options.json, async (run) =>
        printRecords(run, domain, options),
      );
    });
};

function formatOption(): Option {
  const names = EXPORT_FORMATS.map(({ name }) => name).join(', ');
  return new Option('--format <name>', `one of ${names} (for people and web forms)`).argParser(
    (text) => {
      const format = EXPORT_FORMATS.find(({ name }) => name === text);
      if (format !== undefined) return format;
      throw new InvalidArgumentError(`It must be one of ${names}.`);
    },
  );
}

/** A zone may have labels that a host name may not, such as `_domainkey`. */
function zoneArgument(text: string): string {
  const zone = text.toLowerCase().replace(/\.$/, '');
  if (/^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(zone)) return zone;
  throw new InvalidArgumentError('It is no name of a zone.');
}

async function printRecords(run: KeysRun, domain: string, options: DnsOptions): Promise<ExitCode> {
  const entry = (await run.access.store.read()).domains.get(domain);
  if (entry === undefined) {
    throw new KeysRefusal('key-domain-unknown', `the keyring has no domain ${domain}`, {
      hint: `"waxseal keys create ${domain}" makes its keys`,
    });
  }
  const slotsUnder = settingFor(domain, run.settings.publishers ?? [])?.slotsUnder;
  const records = chosenRecords(entry, options.selector).map((record) =>
    slotsUnder === undefined ? record : atTarget(record, slotsUnder),
  );
  const aliases: ExportedRecord[] =
    slotsUnder === undefined ? [] : records.map((record) => aliasOf(record, slotsUnder));
  writeWarnings(run, recordWarnings(records));
  if (options.format !== undefined) {
    return printFormat(run, options.format, [...records.map(exported), ...aliases], {
      zone: options.zone ?? slotsUnder ?? domain,
    });
  }
  if (run.json) run.context.stdout(jsonText({ records, ...(aliases.length > 0 && { aliases }) }));
  else if (records.length > 0) {
    run.context.stdout(`${dnsRecordsText(records)}${aliasesText(domain, aliases)}`);
  } else run.context.stderr(`${domain}: none of the keys has a record\n`);
  return EXIT.ok;
}

function chosenRecords(entry: ManifestDomain, selectors: readonly string[]): DnsRecordText[] {
  const { domain } = entry;
  const unknown = selectors.find((name) => !entry.keys.some((key) => key.selector === name));
  if (unknown !== undefined) {
    throw new KeysRefusal('key-selector-unknown', `${domain} has no key with selector ${unknown}`, {
      hint: `it has: ${entry.keys.map((key) => key.selector).join(', ')}`,
    });
  }
  const keys = entry.keys.filter(
    (key) => selectors.length === 0 || selectors.includes(key.selector),
  );
  return dnsRecords(entry, keys);
}

function printFormat(
  run: KeysRun,
  format: ExportFormat,
  records: readonly ExportedRecord[],
  { zone }: { readonly zone: string },
): ExitCode {
  const needsZone = format.isOfOneZone;
  const inZone = records.filter(({ name }) => relativeName(name, zone) !== undefined);
  const left = needsZone ? records.length - inZone.length : 0;
  if (left > 0) writeWarnings(run, [`${left} record(s) lie outside ${zone}; see --zone`]);
  for (const note of format.notes) run.context.stderr(`note: ${note}\n`);
  run.context.stdout(format.render(needsZone ? inZone : records, zone));
  return EXIT.ok;
}

function exported({ name, ttlS, value, type }: DnsRecordText): ExportedRecord {
  return { name, ttlS, value, type };
}

function atTarget(record: DnsRecordText, slotsUnder: string): DnsRecordText {
  const name = slotTarget(record.selector, record.domain, slotsUnder);
  return { ...record, name, zoneLine: zoneLine(name, record.ttlS, record.value) };
}

function aliasOf({ selector, domain, ttlS }: DnsRecordText, slotsUnder: string): ExportedRecord {
  const value = slotTarget(selector, domain, slotsUnder);
  return { name: recordName(selector, domain), type: 'CNAME', ttlS, value };
}

function aliasesText(domain: string, aliases: readonly ExportedRecord[]): string {
  if (aliases.length === 0) return '';
  const lines = aliases.map(({ name, ttlS, value }) => `${name}. ${ttlS} IN CNAME ${value}.`);
  return [`\nIn the zone of ${domain}, once and for ever:`, '', ...lines, ''].join('\n');
}
