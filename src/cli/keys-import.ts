import { type Command, InvalidArgumentError } from 'commander';
import { BACKEND_NAMES, type BackendName } from '../keys/backend-names.ts';
import { BACKENDS } from '../keys/backends.ts';
import { describeKmsKeyForImport } from '../keys/import/describe-kms-key.ts';
import { pemFileSource } from '../keys/import/import-key.ts';
import { importOpenDkim } from '../keys/import/import-opendkim.ts';
import { type ImportParts, importSource } from '../keys/import/import-source.ts';
import type { KeySource } from '../keys/import/key-source.ts';
import { kmsKeySource } from '../keys/import/kms-key-source.ts';
import { KeysRefusal } from '../keys/keys-error.ts';
import { awsCallerName, callerName } from './caller-name.ts';
import type { ExitCode } from './exit-codes.ts';
import {
  type AddKeysCommand,
  addEntryOptions,
  domainArgument,
  type KeysRun,
  runKeysCommand,
  selectorArgument,
} from './keys-command.ts';
import { reportImported, reportOpenDkim } from './keys-import-report.ts';

const HELP = `
FILE is a private key in PEM form, not encrypted: PKCS#1 ("BEGIN RSA PRIVATE KEY", as opendkim-genkey
writes it) or PKCS#8 ("BEGIN PRIVATE KEY"). It is read only; delete it yourself when the key works here.
RSA keys below 1024 bits are refused, below 2048 bits there is a warning. A key that shall live in KMS and
never leave it cannot come from a file: make it there, then import its ARN.

OpenDKIM's tables are asked for each of their domains as OpenDKIM asks them; keys shared by domains stay
shared. What Waxseal cannot do in the same way is listed with its line, and the exit code is 3 then.
Running the same import again leaves alone what is there.

The record that stands in DNS is compared with the key. --adopt-record lets publishers replace and remove it
later as if they had written it; the key can be activated at once then.

Examples:
  waxseal keys import example.com /etc/opendkim/keys/example.com/mail.private --selector mail
  waxseal keys import example.com --selector mail --arn arn:aws:kms:eu-west-1:111122223333:key/1234abcd-…
  waxseal keys import --opendkim-conf /etc/opendkim.conf --dry-run
  waxseal keys import --key-table file:KeyTable --signing-table refile:SigningTable --for example.net

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration,
3 refused, or a part of the tables needs you (the message says why)
`;

interface ImportOptions {
  readonly selector?: string;
  readonly backend?: BackendName;
  readonly arn?: string;
  readonly opendkimConf?: string;
  readonly keyTable?: string;
  readonly signingTable?: string;
  readonly for: readonly string[];
  readonly adoptRecord: boolean;
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly subdomains?: boolean;
  readonly ttl: number;
  readonly json: boolean;
}

/** `keys import DOMAIN FILE`, `keys import DOMAIN --arn ARN`, `keys import --opendkim-conf FILE` */
export const addKeysImport: AddKeysCommand = (parent, context, parts) => {
  const command = parent
    .command('import')
    .summary('take over existing keys (not active yet)')
    .description('Takes over DKIM keys that other programs use, with their selectors.')
    .argument('[domain]', 'the domain of the From addresses, e.g. example.com', domainArgument)
    .argument('[file]', 'private key in PEM form')
    .option(
      '--selector <name>',
      'the selector of its DNS record (NAME._domainkey.DOMAIN)',
      selectorArgument,
    )
    .option('--backend <name>', `where it is kept: ${BACKEND_NAMES.join(', ')}`, backendArgument)
    .option('--arn <arn>', 'a key of AWS KMS, in place of FILE')
    .option('--opendkim-conf <file>', 'opendkim.conf, which names the tables')
    .option('--key-table <table>', 'KeyTable of OpenDKIM: PATH, file:PATH or refile:PATH')
    .option('--signing-table <table>', 'SigningTable of OpenDKIM, in the same way')
    .option(
      '--for <domain>',
      'a domain that a pattern like * stands for; may be repeated',
      domainsArgument,
      [],
    )
    .option('--adopt-record', 'the record that stands in DNS becomes ours', false)
    .option('--force', 'even if another record stands at its name in DNS', false)
    .option('--dry-run', 'say what would be done, and do nothing', false);
  addEntryOptions(command)
    .addHelpText('after', HELP)
    .action(
      async (domain: string | undefined, pemFile: string | undefined, options: ImportOptions) => {
        const form = formOf(command, domain, pemFile, options);
        await runKeysCommand(context, parts, options.json, async (run) => {
          const lookup = parts.openLookup(run.settings);
          const standing = parts.openStanding?.(run.settings);
          try {
            return await runForm(run, form, options, {
              lookup,
              standing:
                standing ?? (async () => ({ kind: 'unknown', reason: 'the zone cannot be asked' })),
              journal: run.access.journal,
              clock: run.access.clock,
              caller: await callerOf(run, form, options),
            });
          } finally {
            lookup.close();
          }
        });
      },
    );
};

/** The three ways of calling it. */
type ImportForm =
  | { readonly kind: 'tables' }
  | {
      readonly kind: 'pem' | 'arn';
      readonly domain: string;
      readonly selector: string;
      /** A path or an ARN. */
      readonly from: string;
    };

function formOf(
  command: Command,
  domain: string | undefined,
  pemFile: string | undefined,
  options: ImportOptions,
): ImportForm {
  const { opendkimConf, keyTable, signingTable, arn, selector } = options;
  if (opendkimConf !== undefined || keyTable !== undefined || signingTable !== undefined) {
    if (domain !== undefined || selector !== undefined || arn !== undefined) {
      command.error("error: OpenDKIM's tables name the domains, selectors and keys themselves");
    }
    return { kind: 'tables' };
  }
  const from = arn ?? pemFile;
  if (domain === undefined || from === undefined || (arn !== undefined && pemFile !== undefined)) {
    command.error('error: give DOMAIN and FILE, DOMAIN and --arn, or the tables of OpenDKIM');
  }
  if (selector === undefined) {
    command.error("error: required option '--selector <name>' not specified");
  }
  return { kind: arn === undefined ? 'pem' : 'arn', domain, selector, from };
}

async function runForm(
  run: KeysRun,
  form: ImportForm,
  options: ImportOptions,
  parts: ImportParts,
): Promise<ExitCode> {
  const { adoptRecord, force, dryRun, subdomains, ttl: ttlS } = options;
  if (form.kind === 'tables') {
    const imported = await importOpenDkim(
      run.access,
      {
        confFile: options.opendkimConf,
        keyTable: options.keyTable,
        signingTable: options.signingTable,
        domains: options.for,
        backend: options.backend ?? 'file',
        ...{ subdomains, ttlS, adoptRecord, force, dryRun },
      },
      parts,
    );
    return reportOpenDkim(run, imported);
  }
  const { domain, selector } = form;
  const source =
    form.kind === 'pem'
      ? await pemFileSource(form.from, options.backend ?? 'file')
      : await arnSource(run, form.from, options.backend);
  const request = { domain, selector, subdomains, ttlS, adoptRecord, force, dryRun };
  return reportImported(run, await importSource(run.access, source, request, parts));
}

/** For the journal: where the key is, or will be, in AWS, the one whom AWS lets in. */
async function callerOf(
  { settings }: KeysRun,
  { kind }: ImportForm,
  { backend = 'file', dryRun }: ImportOptions,
): Promise<string> {
  const isInAws = kind === 'arn' || BACKENDS[backend].inAws === true;
  const named = isInAws && !dryRun ? await awsCallerName(settings.kms) : undefined;
  return named ?? callerName();
}

/** A key that stays in KMS; the back end is the one that signs there. */
async function arnSource(
  run: KeysRun,
  arn: string,
  backend: BackendName | undefined,
): Promise<KeySource> {
  const signing = BACKEND_NAMES.find((name: string) => name === 'kms-sign');
  const { kms } = run;
  if (signing === undefined || kms === undefined || (backend ?? signing) !== signing) {
    throw new KeysRefusal('key-backend', 'an ARN is imported into the back end kms-sign only', {
      hint: 'leave --backend away, or give the private key as a file',
    });
  }
  const describe = (of: string) => describeKmsKeyForImport(kms, of);
  return await kmsKeySource(arn, signing, describe, kms.settings.regions);
}

function backendArgument(text: string): BackendName {
  const name = BACKEND_NAMES.find((candidate) => candidate === text);
  if (name !== undefined) return name;
  throw new InvalidArgumentError(`It must be one of ${BACKEND_NAMES.join(', ')}.`);
}

function domainsArgument(text: string, others: readonly string[]): readonly string[] {
  return [...others, domainArgument(text)];
}
