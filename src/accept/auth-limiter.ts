import { isIPv6 } from 'node:net';
import type { Clock } from '../base/clock.ts';

/** Failures count for this long (10 minutes). */
const WINDOW_MS = 600_000;
/** Addresses remembered at most; the longest known one is forgotten first. */
const MAX_ADDRESSES = 10_000;

/** Longer user names do not exist (see the users file); they are remembered as far as this. */
const MAX_NAME_LENGTH = 255;

interface Failures {
  /** The user name of each failed attempt. */
  names: string[];
  readonly sinceMs: number;
}

/** Counts failed AUTH attempts for each client address; an IPv6 client is its /64 network. */
export class AuthLimiter {
  readonly #clock: Clock;
  readonly #maxFailures: number;
  readonly #failures = new Map<string, Failures>();

  /** @param maxFailures attempts in 10 minutes after which an address is not heard */
  constructor(clock: Clock, maxFailures: number) {
    this.#clock = clock;
    this.#maxFailures = maxFailures;
  }

  /** True while the address has used up its attempts. */
  isBlocked(address: string): boolean {
    return (this.#current(network(address))?.names.length ?? 0) >= this.#maxFailures;
  }

  /** @param user name that was tried */
  failed(address: string, user: string): void {
    const key = network(address);
    const name = user.slice(0, MAX_NAME_LENGTH);
    const entry = this.#current(key);
    if (entry !== undefined) {
      entry.names.push(name);
      return;
    }
    if (this.#failures.size >= MAX_ADDRESSES) {
      const oldest = this.#failures.keys().next().value;
      if (oldest !== undefined) this.#failures.delete(oldest);
    }
    this.#failures.set(key, { names: [name], sinceMs: this.#clock.monotonicMs() });
  }

  /**
   * Forgets the user's own failures, and no others: who has one password must not win attempts at
   * another with it.
   */
  succeeded(address: string, user: string): void {
    const entry = this.#current(network(address));
    if (entry !== undefined) entry.names = entry.names.filter((name) => name !== user);
  }

  #current(key: string): Failures | undefined {
    const entry = this.#failures.get(key);
    if (entry === undefined || this.#clock.monotonicMs() - entry.sinceMs < WINDOW_MS) return entry;
    this.#failures.delete(key);
    return undefined;
  }
}

/** One customer usually has a /64, so its addresses count as one. */
function network(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head.split(':').filter((group) => group !== '');
  const after = (tail ?? '').split(':').filter((group) => group !== '');
  const zeros = tail === undefined ? 0 : 8 - groups.length - after.length;
  const all = [...groups, ...Array.from({ length: Math.max(zeros, 0) }, () => '0'), ...after];
  return all.slice(0, 4).join(':');
}
