/** What one server said about a record. */
export interface ServerAnswer {
  /** The zone that it was asked as a server of; empty for the root, and for a resolver. */
  readonly zone: string;
  /** Its name in the NS record; `resolver` for a resolver. */
  readonly host: string;
  /** Empty where none was found. */
  readonly address: string;
  readonly verdict: 'seen' | 'absent' | 'mismatch' | 'unreachable' | 'lame' | 'ignored';
  /** For people. */
  readonly detail: string;
  /** The texts of the TXT records there, made printable. */
  readonly found: readonly string[];
}

/** Whether the world sees in DNS what it shall see. */
export interface SeenReport {
  /** `not-yet`: waiting may help; `conflict`: it will not, and somebody has to act. */
  readonly verdict: 'seen' | 'not-yet' | 'conflict';
  /** Owner of the record. */
  readonly name: string;
  /** Every address of every authoritative server of every zone on the way. */
  readonly servers: readonly ServerAnswer[];
  /** Empty unless the authoritative servers agree. */
  readonly resolvers: readonly ServerAnswer[];
  readonly warnings: readonly string[];
  /**
   * Milliseconds for which caches may still hold an older answer, counted from now: the longest
   * negative TTL on the way, or the TTL of the older answer where there was one (a slot, a
   * wildcard, a revoked or removed record).
   */
  readonly settleMs: number;
  /** One line. */
  readonly summary: string;
}
