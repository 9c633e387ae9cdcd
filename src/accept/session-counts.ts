/** A session as it is counted. */
export interface CountedSession {
  readonly id: string;
  /** The client's IP address. */
  readonly address: string;
}

/**
 * Counts open sessions, and among them those of *strangers*: clients that are not in the list and
 * have shown neither a password nor a certificate yet. Strangers have bounds of their own, so that
 * they cannot take the room of those who may send.
 */
export class SessionCounts {
  readonly #maxStrangers: number;
  readonly #maxStrangersPerClient: number;
  readonly #addresses = new Map<string, number>();
  readonly #strangers = new Map<string, number>();
  readonly #ids = new Set<string>();
  readonly #strangerIds = new Set<string>();

  /**
   * @param maxSessions `limits.sessions`; strangers share half of them
   * @param maxPerClient `limits.sessionsPerClient`; holds for the strangers of one address
   */
  constructor(maxSessions: number, maxPerClient: number) {
    this.#maxStrangers = Math.ceil(maxSessions / 2);
    this.#maxStrangersPerClient = maxPerClient;
  }

  /** Sessions that count. */
  get all(): number {
    return this.#ids.size;
  }

  /** Sessions of a client address that count. */
  of(address: string): number {
    return this.#addresses.get(address) ?? 0;
  }

  /** True while there are more strangers than may be, in all or of this address. */
  tooManyStrangers(address: string): boolean {
    return (
      this.#strangerIds.size > this.#maxStrangers ||
      (this.#strangers.get(address) ?? 0) > this.#maxStrangersPerClient
    );
  }

  add({ id, address }: CountedSession, stranger: boolean): void {
    this.#ids.add(id);
    count(this.#addresses, address, 1);
    if (!stranger) return;
    this.#strangerIds.add(id);
    count(this.#strangers, address, 1);
  }

  /** The client is no stranger any more. */
  admit({ id, address }: CountedSession): void {
    if (this.#strangerIds.delete(id)) count(this.#strangers, address, -1);
  }

  /** Has no effect for a session that counts no more. */
  remove(session: CountedSession): void {
    this.admit(session);
    if (this.#ids.delete(session.id)) count(this.#addresses, session.address, -1);
  }
}

function count(counts: Map<string, number>, address: string, step: number): void {
  const now = (counts.get(address) ?? 0) + step;
  if (now > 0) counts.set(address, now);
  else counts.delete(address);
}
