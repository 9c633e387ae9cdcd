import type { Interruption } from '../keys/lifecycle/lifecycle-access.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';

/** What may end a command early, with its exit code. */
const CODES = {
  SIGINT: EXIT.interrupted,
  SIGTERM: EXIT.terminated,
  SIGHUP: EXIT.hungUp,
  SIGPIPE: EXIT.unread,
} as const;

type Cause = keyof typeof CODES;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Ends a command early without harm: what is under way is finished, so that its lease is given
 * back, and nothing more is begun or waited for. A second signal ends the process at once, as it
 * would have without this; other machines then wait for a lease that was held to run out.
 */
export class EarlyEnd implements Interruption {
  readonly #abort = new AbortController();
  #cause: Cause | undefined;
  #heeded = false;

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  heed(): boolean {
    this.#heeded ||= this.#cause !== undefined;
    return this.#cause !== undefined;
  }

  ask(cause: Cause): void {
    this.#cause ??= cause;
    this.#abort.abort();
  }

  /** Why something was left undone, and the exit code of that; undefined: nothing was. */
  get outcome(): { readonly cause: Cause; readonly code: ExitCode } | undefined {
    const cause = this.#cause;
    return cause !== undefined && this.#heeded ? { cause, code: CODES[cause] } : undefined;
  }
}

/**
 * Listens to a standard output that nobody reads any more (`… --watch | head`), and to signals.
 *
 * @param tell a line for a person; undefined: signals end the process at once, since it only reads
 */
export function listenForEarlyEnd(tell: ((text: string) => void) | undefined): {
  readonly earlyEnd: EarlyEnd;
  close(): void;
} {
  const earlyEnd = new EarlyEnd();
  const onSignal = (cause: (typeof SIGNALS)[number]): void => {
    tell?.(`${cause}: what is under way is finished first; a second one ends it at once`);
    earlyEnd.ask(cause);
  };
  const onError = ({ code }: NodeJS.ErrnoException): void => {
    if (code === 'EPIPE') earlyEnd.ask('SIGPIPE');
  };
  const signals = tell === undefined ? [] : SIGNALS;
  for (const signal of signals) process.once(signal, onSignal);
  process.stdout.on('error', onError);
  return {
    earlyEnd,
    close: () => {
      for (const signal of signals) process.off(signal, onSignal);
      process.stdout.off('error', onError);
    },
  };
}
