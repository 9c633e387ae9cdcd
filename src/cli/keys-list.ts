import type { ManifestDomain } from '../keys/manifest.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import {
  type AddKeysCommand,
  domainArgument,
  jsonText,
  type KeysRun,
  runKeysCommand,
} from './keys-command.ts';
import { shownKey, tableText } from './keys-text.ts';

const HELP = `
States: created, published, verified (not in use yet), active (signs), retiring (succeeded; its DNS record must
stay), revoked (its record is empty), destroyed. "waxseal keys status" also says what DNS shows and what is next.

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 the domain is not in the keyring
`;

const HEADING = ['DOMAIN', 'SELECTOR', 'ALGORITHM', 'BACKEND', 'STATE', 'CREATED', 'ACTIVATED'];

/** `keys list [DOMAIN]` */
export const addKeysList: AddKeysCommand = (parent, context, parts) => {
  parent
    .command('list')
    .summary('show the keys and their states')
    .description('Shows the keys of all domains, or of one. Private keys are not opened.')
    .argument('[domain]', 'only this domain', domainArgument)
    .option('--json', 'print JSON', false)
    .addHelpText('after', HELP)
    .action(async (domain: string | undefined, options: { readonly json: boolean }) => {
      await runKeysCommand(context, parts, options.json, async (run) => await list(run, domain));
    });
};

async function list(run: KeysRun, domain: string | undefined): Promise<ExitCode> {
  const snapshot = await run.access.store.read();
  const domains = [...snapshot.domains.values()]
    .filter((entry) => domain === undefined || entry.domain === domain)
    .sort((left, right) => (left.domain < right.domain ? -1 : 1));
  if (run.json) {
    const shown = domains.map((entry) => ({ ...entry, keys: entry.keys.map(shownKey) }));
    run.context.stdout(jsonText({ generation: snapshot.generation, domains: shown }));
  } else if (domains.length > 0) {
    run.context.stdout(tableText(HEADING, domains.flatMap(rowsOf)));
  }
  if (domains.length > 0 || (domain === undefined && run.json)) return EXIT.ok;
  const missing = domain === undefined ? 'the keyring is empty' : `${domain} is not in the keyring`;
  run.context.stderr(`${missing}; "waxseal keys create ${domain ?? 'DOMAIN'}" makes keys\n`);
  return domain === undefined ? EXIT.ok : EXIT.refused;
}

function rowsOf(entry: ManifestDomain): string[][] {
  const domain = entry.subdomains ? `${entry.domain} (+ subdomains)` : entry.domain;
  if (entry.keys.length === 0) return [[domain, '-', '-', '-', 'no keys', '-', '-']];
  return entry.keys.map((key) => [
    domain,
    key.selector,
    key.algorithm,
    key.backend,
    key.state,
    day(key.createdAt),
    day(key.activatedAt),
  ]);
}

function day(time: string | undefined): string {
  return time?.slice(0, 10) ?? '-';
}
