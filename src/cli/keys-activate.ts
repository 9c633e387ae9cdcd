import { type Activation, activateKeys } from '../keys/activate-keys.ts';
import type { RecordCheck } from '../keys/check-record.ts';
import { leasedCommit } from '../keys/lifecycle/leased-commit.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import {
  type AddKeysCommand,
  domainArgument,
  jsonText,
  type KeysRun,
  selectorsArgument,
  writeWarnings,
} from './keys-command.ts';
import { runLifecycleCommand } from './keys-lifecycle.ts';

const HELP = `
The key must be able to sign on this machine, no relay may report that it cannot use it, and DNS must show
exactly its record; otherwise nothing changes and the answer says what was seen and what was expected. Where
no relay reports, a key in KMS has to be some minutes old (authLag). The active key of the same kind
becomes "retiring": leave its DNS record in place for a week at least, since mail that it signed is
still under way. Running relays take the change over within seconds (keys.watchMs).

To go back, activate the retiring key by its name: --selector OLD. ("waxseal keys rotate" also asks every
authoritative server, and waits until no cache holds an older answer; "keys verify" does that alone.)

Exit codes: 0 done (or active already), 1 failed, 2 wrong command line or configuration,
3 refused: DNS does not show the record, or another check failed; nothing was changed
`;

interface ActivateOptions {
  readonly selector: readonly string[];
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** `keys activate DOMAIN` */
export const addKeysActivate: AddKeysCommand = (parent, context, parts) => {
  parent
    .command('activate')
    .summary('sign with the new keys, after a look at DNS')
    .description('Lets new keys of a domain sign, after checking that DNS shows their records.')
    .argument('<domain>', 'the domain of the keys', domainArgument)
    .option('--selector <name>', 'this key only; may be repeated', selectorsArgument, [])
    .option('--force', 'even if DNS does not show the record: receivers may reject mail', false)
    .option('--dry-run', 'check everything, and write nothing', false)
    .option('--json', 'print JSON', false)
    .addHelpText('after', HELP)
    .action(async (domain: string, options: ActivateOptions) => {
      const named = { json: options.json, command: 'keys activate' };
      await runLifecycleCommand(context, parts, named, async (run) => {
        const lookup = parts.openLookup(run.settings);
        try {
          const { selector: selectors, force } = options;
          const commit = options.dryRun
            ? async () => {}
            : leasedCommit(run.work(domain, { force }));
          const request = { domain, selectors, force };
          const activation = await activateKeys(run.access, request, lookup, commit);
          if (options.dryRun) run.context.stderr('dry run: nothing is written\n');
          return report(run, domain, activation);
        } finally {
          lookup.close();
        }
      });
    });
};

function report(
  run: Pick<KeysRun, 'context' | 'json'>,
  domain: string,
  activation: Activation,
): ExitCode {
  const isRefused = activation.kind === 'not-seen';
  if (activation.kind !== 'unchanged') writeWarnings(run, checkWarnings(activation));
  if (run.json) {
    const { kind: outcome, ...details } = activation;
    run.context.stdout(jsonText({ domain, outcome, ...details }));
  } else {
    const write = isRefused ? run.context.stderr : run.context.stdout;
    write(activationText(domain, activation));
  }
  return isRefused ? EXIT.refused : EXIT.ok;
}

function activationText(domain: string, activation: Activation): string {
  switch (activation.kind) {
    case 'unchanged':
      return `${domain}: nothing to do, active: ${activation.active.join(', ')}\n`;
    case 'not-seen':
      return (
        `${domain}: not activated, nothing was changed.\n` +
        `${activation.checks.map(checkText).join('')}\n` +
        'Put the record(s) into DNS as "waxseal keys dns" prints them, and try again when the old answer\n' +
        'has expired. --force activates without the record: receivers may then reject the mail.\n'
      );
    case 'activated': {
      const active = activation.activated.map((selector) => `  ${selector}  active\n`);
      const retiring = activation.retiring.map((selector) => `  ${selector}  retiring\n`);
      const keep =
        retiring.length === 0 ? '' : 'Leave the DNS record of a retiring key in place.\n';
      return `${domain}:\n${[...active, ...retiring].join('')}${keep}Running relays use them within seconds.\n`;
    }
  }
}

function checkText(check: RecordCheck): string {
  if (check.verdict === 'seen') return `\n${check.name}: seen\n`;
  const found = check.found.length === 0 ? ['(nothing)'] : check.found;
  return (
    `\n${check.name}: ${check.reasons.join('; ')}\n` +
    `  expected: ${check.expected}\n` +
    found.map((text) => `  found:    ${text}\n`).join('')
  );
}

/** With --force a record that is not right is a warning, since the keys do sign now. */
function checkWarnings(activation: Exclude<Activation, { kind: 'unchanged' }>): string[] {
  return activation.checks.flatMap((check) => {
    const reasons = activation.kind === 'activated' ? check.reasons : [];
    return [...check.warnings, ...reasons].map((warning) => `${check.name}: ${warning}`);
  });
}
