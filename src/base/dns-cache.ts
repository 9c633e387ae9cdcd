import type { Clock } from './clock.ts';

export interface DnsCacheOptions {
  readonly maxEntries: number;
  /** Bound on the sum of the entries' weights, in octets. */
  readonly maxBytes: number;
  readonly clock: Clock;
}

interface Entry<Value> {
  readonly value: Value;
  readonly expiresAtMs: number;
  readonly bytes: number;
}

/** What an entry costs besides its message: key, objects, map slot. */
const ENTRY_OVERHEAD_BYTES = 400;

/**
 * Values that expire, bounded in number and in octets; the least recently used goes first. Time is
 * monotonic, so a step of the wall clock neither revives nor kills an entry.
 */
export class DnsCache<Value> {
  readonly #options: DnsCacheOptions;
  /** In order of use, least recent first. */
  readonly #entries = new Map<string, Entry<Value>>();
  #bytes = 0;

  constructor(options: DnsCacheOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value and the milliseconds that it still holds, or undefined. */
  get(key: string): { readonly value: Value; readonly remainingMs: number } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const remainingMs = entry.expiresAtMs - this.#options.clock.monotonicMs();
    this.#entries.delete(key);
    if (remainingMs <= 0) {
      this.#bytes -= entry.bytes;
      return undefined;
    }
    this.#entries.set(key, entry);
    return { value: entry.value, remainingMs };
  }

  /**
   * Keeps a value for `ttlS` seconds; 0 or less keeps nothing.
   *
   * @param bytes size of the message that it came from
   */
  set(key: string, value: Value, ttlS: number, bytes: number): void {
    this.#remove(key);
    if (!(ttlS > 0)) return;
    const weight = bytes + ENTRY_OVERHEAD_BYTES;
    const expiresAtMs = this.#options.clock.monotonicMs() + ttlS * 1000;
    this.#entries.set(key, { value, expiresAtMs, bytes: weight });
    this.#bytes += weight;
    this.#shrink();
  }

  #shrink(): void {
    const { maxEntries, maxBytes } = this.#options;
    for (const key of this.#entries.keys()) {
      if (this.#entries.size <= maxEntries && this.#bytes <= maxBytes) return;
      this.#remove(key);
    }
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
  }
}
