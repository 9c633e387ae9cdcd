import type { Clock } from '../../base/clock.ts';
import { pause } from '../../base/pause.ts';

/**
 * Spaces requests out evenly, first come, first served. All that send on one account share one pace,
 * since the provider counts the account.
 */
export class RequestPace {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  #nextMs = 0;

  /** @param perSecond requests a second */
  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#intervalMs = 1000 / perSecond;
  }

  /** Resolves when the caller may send one request. @throws the signal's reason when aborted */
  async turn(signal?: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const turnMs = Math.max(nowMs, this.#nextMs);
    this.#nextMs = turnMs + this.#intervalMs;
    if (turnMs > nowMs) await pause(this.#clock, turnMs - nowMs, signal);
  }
}
