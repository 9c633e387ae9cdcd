import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { WaxsealError } from '../base/errors.ts';
import { createLog, type Log } from '../base/log.ts';
import { type Server, startServer } from '../server.ts';
import { EXIT } from './exit-codes.ts';
import type { CliFrame } from './frame.ts';
import { reportError } from './report-error.ts';

const HELP = `
A change of the keyring is taken over by itself. Signals: SIGHUP reloads certificates, users, the
client list and the keyring; SIGTERM and SIGINT drain (a second one ends at once).

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
  const lifetime = new Lifetime(log);
  let code: number;
  try {
    lifetime.attach(
      await startServer({
        config,
        log,
        clock: systemClock,
        version: frame.version,
        reloadConfig: async () => (await frame.rereadDetails()).config,
      }),
    );
    code = await lifetime.ended;
  } catch (error) {
    reportError(frame, error);
    // An address that is taken may be free in a moment; everything else wants an operator.
    const mayPass = !(error instanceof WaxsealError) || error.code === 'listen-failed';
    code = mayPass ? EXIT.failed : EXIT.usage;
  }
  await log.flush();
  // Not by itself: an MX may still owe an answer, and after a fault nothing may go on.
  frame.exit(code);
}

/** What ends the process, from its first moment on: signals, and faults that nobody caught. */
class Lifetime {
  /** The exit code, once there is one. */
  readonly ended: Promise<number>;
  readonly #end: (code: number) => void;
  #server: Server | undefined;
  #stopping = false;

  constructor(log: Log) {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.ended = promise;
    this.#end = resolve;
    process.on('SIGTERM', (signal) => this.#stop(signal));
    process.on('SIGINT', (signal) => this.#stop(signal));
    // Before it serves, a reload has nothing to do.
    process.on('SIGHUP', () => void this.#server?.reload());
    const fault = (where: string) => (error: unknown) => {
      // State may be broken: end now, so that clients keep their mail and try again.
      log.fault(where, error);
      this.#end(EXIT.failed);
    };
    process.on('uncaughtException', fault('uncaught exception'));
    process.on('unhandledRejection', fault('unhandled rejection'));
  }

  /** It serves. */
  attach(server: Server): void {
    this.#server = server;
  }

  /** Drains; a second signal, or one before it serves, ends at once. */
  #stop(signal: NodeJS.Signals): void {
    if (this.#stopping || this.#server === undefined) {
      this.#end(EXIT.failed);
      return;
    }
    this.#stopping = true;
    void this.#server.drain(signal).then((drained) => this.#end(drained ? EXIT.ok : EXIT.failed));
  }
}
