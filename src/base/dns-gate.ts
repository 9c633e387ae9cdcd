import type { Clock } from './clock.ts';

export interface DnsGateOptions {
  /** Holders at one time. */
  readonly width: number;
  /** Callers that may wait; one more is turned away at once. */
  readonly maxWaiting: number;
  /** Longest wait in milliseconds. */
  readonly maxWaitMs: number;
  readonly clock: Clock;
}

/**
 * Bounds how many queries are under way: a flood of names must not take every file descriptor.
 * First come, first served.
 */
export class DnsGate {
  readonly #options: DnsGateOptions;
  readonly #waiting = new Set<(entered: boolean) => void>();
  #holders = 0;

  constructor(options: DnsGateOptions) {
    this.#options = options;
  }

  /** Resolves to true when it is the caller's turn (then `leave` is owed), to false when not. */
  enter(): Promise<boolean> {
    if (this.#holders < this.#options.width) {
      this.#holders += 1;
      return Promise.resolve(true);
    }
    if (this.#waiting.size >= this.#options.maxWaiting) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiter = (entered: boolean) => {
        this.#waiting.delete(waiter);
        cancel();
        resolve(entered);
      };
      const cancel = this.#options.clock.after(this.#options.maxWaitMs, () => waiter(false));
      this.#waiting.add(waiter);
    });
  }

  /** Hands the place to the longest waiter. */
  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#holders -= 1;
    else next(true);
  }
}
