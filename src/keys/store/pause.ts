import type { Clock } from '../../base/clock.ts';

/** Timers of the clock do not keep the process alive; a command that waits must live on. */
const LONG_MS = 2 ** 30;

/**
 * Waits, and keeps the process alive meanwhile.
 *
 * @param ms by the clock
 */
export async function pause(clock: Clock, ms: number): Promise<void> {
  const alive = setInterval(() => {}, LONG_MS);
  try {
    await new Promise<void>((resolve) => clock.after(ms, resolve));
  } finally {
    clearInterval(alive);
  }
}
