import type { Clock } from '../../base/clock.ts';

/**
 * Waits by the clock.
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
    const stop = () => {
      cancel();
      resolve(false);
    };
    const cancel = clock.after(ms, () => {
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
