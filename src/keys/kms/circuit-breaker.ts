import type { Clock } from '../../base/clock.ts';

/**
 * Stands before one Region. Closed: calls pass. After several failures in a row it opens: calls
 * are refused at once, so that mail is answered and nothing piles up. After a pause one call is let
 * through; if that goes well it closes, else the next pause is longer.
 */
type State =
  | { readonly kind: 'closed'; readonly failures: number }
  | { readonly kind: 'open'; readonly untilMs: number; readonly pauseMs: number }
  | { readonly kind: 'probing'; readonly pauseMs: number; readonly sinceMs: number };

const FAILURES_TO_OPEN = 5;
const FIRST_PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 60_000;

export interface BreakerOptions {
  readonly clock: Clock;
  /** A probe that has said nothing for so long is given up. */
  readonly probeMs: number;
  readonly onOpen: (pauseMs: number) => void;
  readonly onClose: () => void;
}

export class CircuitBreaker {
  readonly #options: BreakerOptions;
  #state: State = { kind: 'closed', failures: 0 };

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  /** May a call pass now? A call that may must be followed by `succeeded`, `failed` or `spoiled`. */
  admits(): boolean {
    const state = this.#state;
    const now = this.#options.clock.monotonicMs();
    if (state.kind === 'closed') return true;
    if (state.kind === 'open' && now < state.untilMs) return false;
    if (state.kind === 'probing' && now < state.sinceMs + this.#options.probeMs) return false;
    this.#state = { kind: 'probing', pauseMs: state.pauseMs, sinceMs: now };
    return true;
  }

  /** The Region answered, whatever it said. */
  succeeded(): void {
    if (this.#state.kind !== 'closed') this.#options.onClose();
    this.#state = { kind: 'closed', failures: 0 };
  }

  /** A time-out, or a 5xx. */
  failed(): void {
    const state = this.#state;
    if (state.kind === 'open') return;
    if (state.kind === 'probing') {
      this.#open(Math.min(LONGEST_PAUSE_MS, state.pauseMs * 2));
      return;
    }
    const failures = state.failures + 1;
    if (failures >= FAILURES_TO_OPEN) this.#open(FIRST_PAUSE_MS);
    else this.#state = { kind: 'closed', failures };
  }

  /** The call ended without saying anything about the Region: the next one may probe. */
  spoiled(): void {
    const state = this.#state;
    if (state.kind !== 'probing') return;
    this.#state = {
      kind: 'open',
      untilMs: this.#options.clock.monotonicMs(),
      pauseMs: state.pauseMs,
    };
  }

  #open(pauseMs: number): void {
    const untilMs = this.#options.clock.monotonicMs() + pauseMs;
    this.#state = { kind: 'open', untilMs, pauseMs };
    this.#options.onOpen(pauseMs);
  }
}
