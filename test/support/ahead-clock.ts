import { type Clock, systemClock } from '../../src/base/clock.ts';

/** The machine's clock, and what a test lets pass besides: days in no time. */
export class AheadClock implements Clock {
  #aheadMs = 0;

  wallMs(): number {
    return systemClock.wallMs() + this.#aheadMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#aheadMs;
  }

  /** Timers are the machine's: they wait for files and sockets, which have no other clock. */
  after(delayMs: number, action: () => void): () => void {
    return systemClock.after(delayMs, action);
  }

  pass(ms: number): void {
    this.#aheadMs += ms;
  }
}
