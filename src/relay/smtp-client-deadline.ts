import type { Clock } from '../base/clock.ts';

/**
 * One timer for all deadlines of a connection. Most are met, and most later ones are due after
 * earlier ones, so a timer that runs is left alone: when it fires, what is due then is looked up.
 */
export class Deadline {
  readonly #clock: Clock;
  readonly #look: () => void;
  #dueMs = Number.POSITIVE_INFINITY;
  #cancel = (): void => {};

  /** @param look called when something may be due; calls `watch` again for what is not yet */
  constructor(clock: Clock, look: () => void) {
    this.#clock = clock;
    this.#look = look;
  }

  /** Sees to it that `look` is called at that monotonic time, or before. */
  watch(dueMs: number): void {
    if (this.#dueMs <= dueMs) return;
    this.#cancel();
    this.#dueMs = dueMs;
    const delayMs = Math.ceil(Math.max(0, dueMs - this.#clock.monotonicMs()));
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#dueMs = Number.POSITIVE_INFINITY;
      this.#look();
    });
  }

  stop(): void {
    this.#cancel();
    this.#dueMs = Number.NEGATIVE_INFINITY;
  }
}
