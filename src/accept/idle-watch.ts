import type { Clock } from '../base/clock.ts';

/** While content comes, this many octets count as a sign of life. */
const PROGRESS_BYTES = 4096;

/**
 * Measures how long a client owes us input: a whole command, or content at more than a trickle, so
 * that a client that sends an octet now and then is caught as well. The time that a client waits
 * for us does not count. One timer serves a whole session and is set anew only when it fires.
 */
export class IdleWatch {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #expire: () => void;
  #cancel: () => void;
  /** Since when input is owed; undefined while it is not. */
  #owedSinceMs: number | undefined;
  #bytes = 0;

  /**
   * @param limitMs time a client may take
   * @param expire runs once when it took longer
   */
  constructor(clock: Clock, limitMs: number, expire: () => void) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#expire = expire;
    this.#owedSinceMs = clock.monotonicMs();
    this.#cancel = clock.after(limitMs, () => this.#check());
  }

  /** The client's turn begins; has no effect during its turn. */
  clientOwes(): void {
    this.#owedSinceMs ??= this.#clock.monotonicMs();
  }

  /** Our turn begins: the client gave what it owed. */
  weOwe(): void {
    this.#owedSinceMs = undefined;
    this.#bytes = 0;
  }

  /** Octets of content came. */
  progress(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < PROGRESS_BYTES || this.#owedSinceMs === undefined) return;
    this.#bytes = 0;
    this.#owedSinceMs = this.#clock.monotonicMs();
  }

  stop(): void {
    this.#cancel();
  }

  #check(): void {
    const owedMs =
      this.#owedSinceMs === undefined ? 0 : this.#clock.monotonicMs() - this.#owedSinceMs;
    if (owedMs >= this.#limitMs) this.#expire();
    else this.#cancel = this.#clock.after(this.#limitMs - owedMs, () => this.#check());
  }
}
