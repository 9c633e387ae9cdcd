import type { Clock } from '../../base/clock.ts';

/** Longest interval of Node, in milliseconds. */
const MAX_INTERVAL_MS = 2_147_483_647;

/**
 * Waits by the clock, and keeps the process alive meanwhile: the clock's timers do not, and a
 * command that looks for a key between two calls has nothing else that would.
 *
 * @returns false when the signal ended it
 */
export function waitMs(
  clock: Clock,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (signal?.aborted === true) return Promise.resolve(false);
  if (ms <= 0) return Promise.resolve(true);
  return new Promise((resolve) => {
    const alive = setInterval(() => undefined, MAX_INTERVAL_MS);
    const stop = () => {
      clearInterval(alive);
      cancel();
      resolve(false);
    };
    const cancel = clock.after(ms, () => {
      clearInterval(alive);
      signal?.removeEventListener('abort', stop);
      resolve(true);
    });
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** Keeps the process alive while something is awaited: the clock's timers do not. */
export class ProcessHold {
  #holders = 0;
  #handle: NodeJS.Timeout | undefined;

  take(): void {
    this.#holders += 1;
    this.#handle ??= setInterval(() => undefined, 60_000);
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders > 0) return;
    clearInterval(this.#handle);
    this.#handle = undefined;
  }
}
