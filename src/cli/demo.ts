import { type Command, Option } from 'commander';
import { EXIT } from './exit-codes.ts';
import type { CliFrame } from './frame.ts';

const HELP = `
Everything runs in this process, on loopback, with keys that are made for it and removed afterwards.

Exit codes: ${EXIT.ok} all three messages went as they should; ${EXIT.failed} one did not.
`;

/** Mounts `demo`. */
export function registerDemo(program: Command, frame: CliFrame): void {
  program
    .command('demo')
    .summary('show the main job, offline, in a minute')
    .description('Run relay, DNS and two MXs on loopback and send three messages through them.')
    .addOption(new Option('--log', "print the relay's log records too").default(false))
    .addHelpText('after', HELP)
    .action(async ({ log }: { log: boolean }) => {
      const { runDemo } = await import('./demo/run-demo.ts');
      frame.setExitCode((await runDemo(frame, log)) ? EXIT.ok : EXIT.failed);
    });
}
