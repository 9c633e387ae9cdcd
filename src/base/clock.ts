/**
 * The one source of time. Stages get a clock as an argument, so tests can
 * hand them one that they move by hand.
 */
export interface Clock {
  /** Wall-clock time in milliseconds since the epoch; may jump. For `t=`, `Date:`, logs. */
  wallMs(): number;
  /** Monotonic time in milliseconds from an arbitrary start. For durations and expiry. */
  monotonicMs(): number;
  /**
   * Runs `action` once after `delayMs` milliseconds.
   *
   * @returns a function that cancels the timer; harmless after it fired
   */
  after(delayMs: number, action: () => void): () => void;
}

/** The clock of the machine. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
