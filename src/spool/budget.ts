import type { Clock } from '../base/clock.ts';

/**
 * A bounded amount of octets that messages share. Asking for more than is left can wait, in the
 * order of asking, for what others give back.
 */
export class Budget {
  readonly #limit: number;
  readonly #clock: Clock;
  #used = 0;
  readonly #waiting = new Set<{ bytes: number; settle: (granted: boolean) => void }>();

  /** @param limitBytes octets in all */
  constructor(limitBytes: number, clock: Clock) {
    this.#limit = limitBytes;
    this.#clock = clock;
  }

  get usedBytes(): number {
    return this.#used;
  }

  /** Takes `bytes` if they are left and nobody waits for them. */
  tryTake(bytes: number): boolean {
    if (this.#waiting.size > 0 || this.#used + bytes > this.#limit) return false;
    this.#used += bytes;
    return true;
  }

  /**
   * Takes `bytes`, waiting at most `waitMs` for them.
   *
   * @returns false when the time was up, or when `signal` ended the wait
   */
  take(bytes: number, waitMs: number, signal: AbortSignal): Promise<boolean> {
    if (this.tryTake(bytes)) return Promise.resolve(true);
    if (signal.aborted || bytes > this.#limit) return Promise.resolve(false);
    return new Promise((resolve) => {
      const entry = {
        bytes,
        settle: (granted: boolean) => {
          this.#waiting.delete(entry);
          cancel();
          signal.removeEventListener('abort', refuse);
          resolve(granted);
        },
      };
      const refuse = () => {
        entry.settle(false);
        this.#grant();
      };
      const cancel = this.#clock.after(waitMs, refuse);
      signal.addEventListener('abort', refuse, { once: true });
      this.#waiting.add(entry);
    });
  }

  /** Gives octets back. */
  give(bytes: number): void {
    this.#used -= bytes;
    this.#grant();
  }

  #grant(): void {
    for (const entry of this.#waiting) {
      if (this.#used + entry.bytes > this.#limit) return;
      this.#used += entry.bytes;
      entry.settle(true);
    }
  }
}
