import type { Clock } from '../../base/clock.ts';

interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/**
 * When the keyring, and each of its shards, was last confirmed: read, and in force as it was read.
 * Both clocks count: the monotonic one stands still while a machine is suspended, and the wall
 * clock may be set back.
 */
export class Freshness {
  readonly #clock: Clock;
  readonly #maxStaleMs: number;
  readonly #shards = new Map<string, Moment>();
  #whole: Moment | undefined;

  constructor(clock: Clock, maxStaleMs: number) {
    this.#clock = clock;
    this.#maxStaleMs = maxStaleMs;
  }

  /** These shards stand as they are in force; others do not, or are gone. */
  confirm(shards: ReadonlySet<string>): void {
    const now = this.#now();
    this.#whole = now;
    for (const name of shards) this.#shards.set(name, now);
  }

  /** Why nothing may be signed; undefined: the keyring is fresh enough. */
  get fault(): string | undefined {
    return this.#staleness(this.#whole, 'the keyring');
  }

  /** Why nothing of a shard may be signed. */
  faultOf(shard: string | undefined): string | undefined {
    if (shard === undefined) return this.fault;
    return this.fault ?? this.#staleness(this.#shards.get(shard), `${shard} of the keyring`);
  }

  #staleness(confirmed: Moment | undefined, what: string): string | undefined {
    if (confirmed === undefined) return `${what} was never confirmed`;
    const now = this.#now();
    const ageMs = Math.max(now.monotonicMs - confirmed.monotonicMs, now.wallMs - confirmed.wallMs);
    if (ageMs <= this.#maxStaleMs) return undefined;
    const since = new Date(confirmed.wallMs).toISOString();
    return `${what} could not be confirmed since ${since} (keys.maxStaleMs): a key may be revoked by now`;
  }

  #now(): Moment {
    return { wallMs: this.#clock.wallMs(), monotonicMs: this.#clock.monotonicMs() };
  }
}
