import type { Clock } from '../../base/clock.ts';
import type { KeyringHolder, KeyringReload } from '../keyring-holder.ts';

export interface KeyringWatchParts {
  readonly holder: KeyringHolder;
  readonly clock: Clock;
  /** `keys.watchMs` */
  readonly intervalMs: number;
  /** A look found something: a change that is in force now, or why there is none. */
  readonly onReload: (reload: KeyringReload) => void;
  /** Every look, whatever it found. */
  readonly onLook?: () => void;
  /** For jitter, 0 to 1; default `Math.random`. */
  readonly random?: () => number;
}

/** Relays that were started together must not look together. */
const JITTER = 0.1;
/** A look that takes long is not repeated so often: at most this part of the time goes into looking. */
const MAX_SHARE = 0.1;
/**
 * But no later than so, from the start of a look to the end of the next one: a change that comes
 * just after the first has read is in force then. A key may have been revoked, and relays stop
 * using it within five seconds; one of them is for new keys that have to be opened
 * (`patient-opening.ts`).
 */
const REACH_MS = 4000;
/** Looks that take so long that they cannot reach it have a pause of this part of their time. */
const LEAST_PAUSE = 0.05;
/** Keys that do not open are tried again after this time, twice as long each time, up to the last. */
const FIRST_RETRY_MS = 5000;
const LAST_RETRY_MS = 300_000;

/** Looks at the keyring again and again, and puts in force what changed. Sessions notice nothing. */
export class KeyringWatch {
  readonly #parts: KeyringWatchParts;
  #cancel: (() => void) | undefined;
  #look: Promise<void> | undefined;
  #stopped = false;
  #retryMs = FIRST_RETRY_MS;
  #retryAtMs: number | undefined;

  constructor(parts: KeyringWatchParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#next(this.#waitMs(0));
  }

  /** Resolves when no look is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#look;
  }

  /** Looks now. Never rejects. */
  async look(): Promise<void> {
    const { holder, onReload, onLook } = this.#parts;
    const reload = await holder.refresh(this.#isRetryDue());
    this.#planRetry();
    if (this.#stopped) return;
    if (reload !== undefined) onReload(reload);
    onLook?.();
  }

  #next(waitMs: number): void {
    if (this.#stopped) return;
    this.#cancel = this.#parts.clock.after(waitMs, () => {
      this.#look = this.#lookAndGoOn();
    });
  }

  async #lookAndGoOn(): Promise<void> {
    const { clock } = this.#parts;
    const startMs = clock.monotonicMs();
    await this.look();
    this.#next(this.#waitMs(clock.monotonicMs() - startMs));
  }

  /**
   * From the end of a look to the next one. The interval counts from start to start, so that a slow
   * store does not add to it; there are never two looks at the same time.
   */
  #waitMs(tookMs: number): number {
    const { intervalMs, random = Math.random } = this.#parts;
    const chance = random();
    const periodMs = intervalMs * (1 + JITTER * (2 * chance - 1));
    const sparingMs = tookMs / MAX_SHARE - tookMs;
    const reachingMs = Math.max(REACH_MS - 2 * tookMs, 0) * (1 - JITTER * chance);
    const leastMs = tookMs * LEAST_PAUSE;
    return Math.max(periodMs - tookMs, Math.min(sparingMs, reachingMs), leastMs);
  }

  #isRetryDue(): boolean {
    return this.#retryAtMs !== undefined && this.#parts.clock.monotonicMs() >= this.#retryAtMs;
  }

  /** A remote back end may be down, or permissions may still spread. */
  #planRetry(): void {
    const { holder, clock, random = Math.random } = this.#parts;
    const { keyring } = holder;
    const nowMs = clock.monotonicMs();
    if (keyring === undefined || keyring.broken.size + keyring.standIns.size === 0) {
      this.#retryAtMs = undefined;
      this.#retryMs = FIRST_RETRY_MS;
    } else if (this.#retryAtMs === undefined || nowMs >= this.#retryAtMs) {
      this.#retryAtMs = nowMs + this.#retryMs * (0.5 + random() / 2);
      this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
    }
  }
}
