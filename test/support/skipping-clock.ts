import type { Clock } from '../../src/base/clock.ts';

/** A clock on which every wait is over at once: it skips to the moment that is waited for. */
export class SkippingClock implements Clock {
  #nowMs = 1_700_000_000_000;

  wallMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const dueMs = this.#nowMs + delayMs;
    const timer = setImmediate(() => {
      this.#nowMs = Math.max(this.#nowMs, dueMs);
      action();
    });
    return () => clearImmediate(timer);
  }
}
