import type { Clock } from '../base/clock.ts';
import type { Destination } from './destination.ts';
import type { SmtpClient } from './smtp-client.ts';

/** How long a session to an MX may be used again: it bounds for how long a changed MX record is not seen. */
const MAX_AGE_MS = 300_000;

/*
 * The connection that one client's session keeps for its next transaction. It is not shared: no
 * other session can see it, and it ends with the session, so a client that brings one message is
 * no burden to the MX.
 *
 *   empty ──keep()──► idle ──take()──► empty        any ──close()──► closed
 *                      └── idleMs without use: QUIT ──► empty
 */
type State =
  | { readonly kind: 'empty' }
  | {
      readonly kind: 'idle';
      readonly destination: Destination;
      readonly client: SmtpClient;
      readonly sinceMs: number;
    }
  | { readonly kind: 'closed' };

/** At most one idle connection to an MX, behind an answered final dot. */
export class KeptConnection {
  readonly #clock: Clock;
  readonly #idleMs: number;
  #state: State = { kind: 'empty' };
  #timerRuns = false;

  /** @param idleMs how long a connection is kept without use; 0: none is kept */
  constructor(clock: Clock, idleMs: number) {
    this.#clock = clock;
    this.#idleMs = idleMs;
  }

  /** @returns the connection, if it leads to that destination and still lives; it is the caller's then */
  take(destination: Destination): SmtpClient | undefined {
    const state = this.#state;
    if (state.kind !== 'idle') return undefined;
    this.#state = { kind: 'empty' };
    const { client } = state;
    if (state.destination.key === destination.key && client.fault === undefined) return client;
    client.quit();
    return undefined;
  }

  /** Takes a connection over whose last message was answered. */
  keep(destination: Destination, client: SmtpClient): void {
    const nowMs = this.#clock.monotonicMs();
    const old = nowMs - client.openedMs >= MAX_AGE_MS;
    if (this.#state.kind === 'closed' || this.#idleMs === 0 || old) {
      client.quit();
      return;
    }
    if (this.#state.kind === 'idle') this.#state.client.quit();
    this.#state = { kind: 'idle', destination, client, sinceMs: nowMs };
    if (!this.#timerRuns) this.#startTimer(this.#idleMs);
  }

  /** The client's session is over. */
  close(): void {
    const state = this.#state;
    this.#state = { kind: 'closed' };
    if (state.kind === 'idle') state.client.quit();
  }

  /** One timer for many uses: when it fires, what has been idle for long enough is looked up. */
  #startTimer(delayMs: number): void {
    this.#timerRuns = true;
    this.#clock.after(delayMs, () => {
      this.#timerRuns = false;
      const state = this.#state;
      if (state.kind !== 'idle') return;
      const leftMs = state.sinceMs + this.#idleMs - this.#clock.monotonicMs();
      if (leftMs > 0) {
        this.#startTimer(leftMs);
        return;
      }
      this.#state = { kind: 'empty' };
      state.client.quit();
    });
  }
}
