import type { Clock } from '../../base/clock.ts';

/**
 * The connections to one Region, given out in the order in which they are asked for. Whoever waits
 * in the HTTP agent instead is on the clock of its attempt: a KMS that is slow and answers would
 * look as if it were down.
 */
export class ConnectionSlots {
  readonly #clock: Clock;
  /** A Set keeps their order. */
  readonly #waiting = new Set<() => void>();
  #free: number;

  constructor(clock: Clock, connections: number) {
    this.#clock = clock;
    this.#free = connections;
  }

  /**
   * Takes a slot, which `release` gives back.
   *
   * @returns `late`, `aborted`: none was taken
   */
  take(maxWaitMs: number, signal: AbortSignal | undefined): Promise<'taken' | 'late' | 'aborted'> {
    if (signal?.aborted === true) return Promise.resolve('aborted');
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve('taken');
    }
    return new Promise((resolve) => {
      const settle = (outcome: 'taken' | 'late' | 'aborted') => {
        cancel();
        signal?.removeEventListener('abort', stop);
        this.#waiting.delete(go);
        resolve(outcome);
      };
      const go = () => settle('taken');
      const stop = () => settle('aborted');
      const cancel = this.#clock.after(maxWaitMs, () => settle('late'));
      signal?.addEventListener('abort', stop, { once: true });
      this.#waiting.add(go);
    });
  }

  release(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free += 1;
    else next();
  }
}
