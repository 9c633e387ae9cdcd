import { printable } from '../base/printable.ts';
import type { JournalEntry } from '../keys/store/journal.ts';
import { EXIT } from './exit-codes.ts';
import { type AddKeysCommand, domainArgument } from './keys-command.ts';
import { runLifecycleCommand } from './keys-lifecycle.ts';

const HELP = `
The journal says who did what, when and why, which records were written, and the ids of the requests to AWS.
It is never changed. With --json each entry is one object on one line, and records stand there whole.

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration
`;

/** `keys history [DOMAIN]` */
export const addKeysHistory: AddKeysCommand = (parent, context, parts) => {
  parent
    .command('history')
    .summary('show who did what to the keys, and why')
    .description('Shows the journal of a domain, or of all, oldest first.')
    .argument('[domain]', 'only this domain', domainArgument)
    .option('--json', 'print JSON, one object a line', false)
    .addHelpText('after', HELP)
    .action(async (domain: string | undefined, options: { readonly json: boolean }) => {
      const named = {
        json: options.json,
        command: 'keys history',
        mayBeEmpty: true,
        readOnly: true,
      };
      await runLifecycleCommand(context, parts, named, async ({ access }) => {
        let count = 0;
        for await (const entry of access.journal.read(domain === undefined ? {} : { domain })) {
          if (access.interruption?.signal.aborted === true) break;
          count += 1;
          context.stdout(`${options.json ? JSON.stringify(entry) : entryText(entry)}\n`);
        }
        if (count === 0)
          context.stderr(`the journal has nothing${domain === undefined ? '' : ` of ${domain}`}\n`);
        return EXIT.ok;
      });
    });
};

/** A public key takes 400 characters, of which the ends tell it from others. */
function shortened(value: string): string {
  return value.length <= 120 ? value : `${value.slice(0, 60)}…${value.slice(-16)}`;
}

function entryText(entry: JournalEntry): string {
  const { at, caller, command, event, domain, selector, reason, record, requestIds } = entry;
  const details = Object.entries(entry.details ?? {}).map(
    ([name, value]) => `${name}: ${shortened(value)}`,
  );
  const parts = [
    at,
    event,
    domain ?? '-',
    selector ?? '-',
    `by ${caller} (${command})`,
    ...(reason === undefined ? [] : [`because: ${reason}`]),
    ...(record === undefined
      ? []
      : [`${record.name} ${record.ttlS} ${record.type} ${shortened(record.value)}`]),
    ...details,
    ...(requestIds === undefined ? [] : [`requests: ${requestIds.join(' ')}`]),
  ];
  return parts.map((part) => printable(part, 1500)).join('  ');
}
