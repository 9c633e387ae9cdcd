import { importKey } from '../keys/import/import-key.ts';
import {
  type AddKeysCommand,
  addEntryOptions,
  domainArgument,
  runKeysCommand,
  selectorArgument,
} from './keys-command.ts';
import { reportAdded } from './keys-create.ts';

const HELP = `
FILE is a private key in PEM form, not encrypted: PKCS#1 ("BEGIN RSA PRIVATE KEY", as opendkim-genkey
writes it) or PKCS#8 ("BEGIN PRIVATE KEY"). It is read only; delete it yourself when the key works here.
RSA keys below 1024 bits are refused, below 2048 bits there is a warning.

Example:
  waxseal keys import example.com /etc/opendkim/keys/example.com/mail.private --selector mail
  waxseal keys activate example.com

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 refused (the message says why)
`;

interface ImportOptions {
  readonly selector: string;
  readonly subdomains?: boolean;
  readonly ttl: number;
  readonly json: boolean;
}

/** `keys import DOMAIN FILE --selector NAME` */
export const addKeysImport: AddKeysCommand = (parent, context, parts) => {
  const command = parent
    .command('import')
    .summary('take over an existing private key (not active yet)')
    .description('Takes over a DKIM private key that another program used, with its selector.')
    .argument('<domain>', 'the domain of the From addresses, e.g. example.com', domainArgument)
    .argument('<file>', 'private key in PEM form')
    .requiredOption(
      '--selector <name>',
      'the selector of its DNS record (NAME._domainkey.DOMAIN)',
      selectorArgument,
    );
  addEntryOptions(command)
    .addHelpText('after', HELP)
    .action(async (domain: string, pemFile: string, options: ImportOptions) => {
      await runKeysCommand(context, parts, options.json, async (run) => {
        const { selector, subdomains, ttl: ttlS } = options;
        const added = await importKey(run.access, { domain, selector, pemFile, subdomains, ttlS });
        return reportAdded(run, added, 'imported');
      });
    });
};
