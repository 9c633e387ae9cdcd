import type { Clock } from '../../base/clock.ts';

/** Most of a second's tokens that may be taken at once. */
const BURST_S = 0.2;

/**
 * Paces calls: so many by second, a few at once, the rest in the order in which they came. It never
 * gives out more than its rate allows, and never keeps anybody waiting for what cannot come in time.
 */
export class TokenBucket {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  /** Negative: promised to those who wait. */
  #tokens: number;
  #filledMs: number;

  /** @param perSecond tokens by second, more than 0 */
  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#burst = Math.max(1, perSecond * BURST_S);
    this.#tokens = this.#burst;
    this.#filledMs = clock.monotonicMs();
  }

  /**
   * Takes a token. The caller waits as long as it says; a token that is not used after all is lost.
   *
   * @param maxWaitMs no token is taken when it would come later
   * @returns milliseconds until the token counts; undefined: none in time
   */
  take(maxWaitMs: number): number | undefined {
    const now = this.#clock.monotonicMs();
    const filled = this.#tokens + ((now - this.#filledMs) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#burst, filled);
    this.#filledMs = now;
    const waitMs = Math.max(0, ((1 - this.#tokens) / this.#perSecond) * 1000);
    if (waitMs > maxWaitMs) return undefined;
    this.#tokens -= 1;
    return waitMs;
  }
}
