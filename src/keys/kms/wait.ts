import type { Clock } from '../../base/clock.ts';
import { pause } from '../../base/pause.ts';

/**
 * Waits by the clock, and keeps the process alive meanwhile.
 *
 * @returns false when the signal ended it
 */
export async function waitMs(
  clock: Clock,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (signal?.aborted === true) return false;
  if (ms <= 0) return true;
  return await pause(clock, ms, signal).then(
    () => true,
    () => false,
  );
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
