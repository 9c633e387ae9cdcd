import type { Clock } from '../base/clock.ts';

/** Addresses remembered at one time; the oldest is forgotten for a newer one. */
const MAX_DEAD_HOSTS = 10_000;

export interface DeadHostsOptions {
  /** How long an address counts as dead, in milliseconds of the monotonic clock; 0: never. */
  readonly deadHostMs: number;
  readonly clock: Clock;
}

/** Why an address is avoided, and how long still. */
export interface DeadHost {
  /** What happened when it was tried, for replies and logs. */
  readonly reason: string;
  readonly remainingMs: number;
}

interface Entry {
  readonly reason: string;
  readonly diedAtMs: number;
}

/**
 * Addresses that failed to connect a moment ago. Mail for them is answered at once, so that one
 * dead MX does not hold all of a client's connections for its time-out (contract, promise 6).
 */
export class DeadHosts {
  readonly #options: DeadHostsOptions;
  /** Oldest first: all live equally long, so this is also the order of expiry. */
  readonly #entries = new Map<string, Entry>();

  constructor(options: DeadHostsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Remembers that a connection to the address failed just now. */
  markDead(address: string, port: number, reason: string): void {
    const { deadHostMs, clock } = this.#options;
    if (deadHostMs <= 0) return;
    const key = hostKey(address, port);
    this.#entries.delete(key);
    this.#entries.set(key, { reason, diedAtMs: clock.monotonicMs() });
    this.#forget();
  }

  /** Forgets it: a connection succeeded. */
  markAlive(address: string, port: number): void {
    this.#entries.delete(hostKey(address, port));
  }

  /** What is known against the address, or undefined if it may be tried. */
  find(address: string, port: number): DeadHost | undefined {
    const entry = this.#entries.get(hostKey(address, port));
    if (entry === undefined) return undefined;
    const remainingMs = this.#remainingMs(entry);
    if (remainingMs <= 0) {
      this.#entries.delete(hostKey(address, port));
      return undefined;
    }
    return { reason: entry.reason, remainingMs };
  }

  #forget(): void {
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= MAX_DEAD_HOSTS && this.#remainingMs(entry) > 0) return;
      this.#entries.delete(key);
    }
  }

  #remainingMs(entry: Entry): number {
    const { deadHostMs, clock } = this.#options;
    return entry.diedAtMs + deadHostMs - clock.monotonicMs();
  }
}

function hostKey(address: string, port: number): string {
  return `${address} ${port}`;
}
