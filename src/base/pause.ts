import type { Clock } from './clock.ts';

/** Longest delay of a timer of Node, in milliseconds. */
const MAX_TIMER_MS = 2_147_483_647;

/**
 * Waits, and keeps the process alive meanwhile: the clock's timers do not, and a command that waits
 * has nothing else that would.
 *
 * @param delayMs by the clock
 * @throws the signal's reason when aborted
 */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const keepAlive = setInterval(() => {}, MAX_TIMER_MS);
    const finish = () => {
      clearInterval(keepAlive);
      cancel();
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = () => {
      finish();
      reject(signal?.reason);
    };
    const cancel = clock.after(delayMs, () => {
      finish();
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** The promise's outcome, or a rejection with the signal's reason, whichever is first. */
export function untilAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
