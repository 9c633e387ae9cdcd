import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { errorMessage, WaxsealError } from '../base/errors.ts';
import { createLog, type Log } from '../base/log.ts';
import { type Server, startServer } from '../server.ts';
import { EXIT } from './exit-codes.ts';
import type { CliFrame } from './frame.ts';
import { reportError } from './report-error.ts';

const HELP = `
Signals: SIGHUP reloads keyring, certificates, users and the client list; SIGTERM and SIGINT drain
(a second one ends at once).

Exit codes: ${EXIT.ok} drained; ${EXIT.failed} the drain ran out of time, or a fault; ${EXIT.usage} configuration or
keyring cannot be used.
`;

/** Mounts `serve`. */
export function registerServe(program: Command, frame: CliFrame): void {
  program
    .command('serve')
    .summary('accept, sign and relay mail')
    .description('Accept mail from allowed clients, sign it and relay it to the MX hosts, live.')
    .addHelpText('after', HELP)
    .action(() => serve(frame));
}

async function serve(frame: CliFrame): Promise<void> {
  const { config, warnings } = await frame.loadDetails();
  const { level, format } = config.log;
  const log = createLog({ level, format, fd: 1, isTerminal: frame.isTty });
  for (const { key, message } of warnings) log.warning({ about: key, message });
  try {
    const server = await startServer({
      config,
      log,
      clock: systemClock,
      version: frame.version,
      reloadConfig: async () => (await frame.rereadDetails()).config,
    });
    frame.setExitCode(await untilStopped(server, log));
  } catch (error) {
    reportError(frame, error);
    // An address that is taken may be free in a moment; everything else wants an operator.
    const mayPass = !(error instanceof WaxsealError) || error.code === 'listen-failed';
    frame.setExitCode(mayPass ? EXIT.failed : EXIT.usage);
  }
  await log.flush();
}

/** Runs until a signal has ended it. @returns the exit code */
function untilStopped(server: Server, log: Log): Promise<number> {
  return new Promise((resolve) => {
    let stopping = false;
    const stop = (signal: NodeJS.Signals) => {
      if (stopping) {
        resolve(EXIT.failed);
        return;
      }
      stopping = true;
      void server.drain(signal).then((drained) => resolve(drained ? EXIT.ok : EXIT.failed));
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    process.on('SIGHUP', () => void server.reload());
    process.on('uncaughtException', (error) => {
      // State may be broken: end now, so that clients keep their mail and try again.
      log.fault('uncaught', error);
      resolve(EXIT.failed);
    });
    process.on('unhandledRejection', (reason) => {
      log.fault(
        'unhandled',
        new WaxsealError('unhandled', errorMessage(reason), { cause: reason }),
      );
      resolve(EXIT.failed);
    });
  });
}
