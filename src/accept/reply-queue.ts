/**
 * Replies in the order of their commands, written in batches (RFC 2920 section 3.2).
 *
 * A reply that has to wait for an MX keeps its place; those behind it wait too. What is ready is
 * written once for each turn of the event loop, so the replies to a batch of pipelined commands
 * leave in one packet, and nothing is held back when there is nothing more to add.
 */
export class ReplyQueue {
  readonly #write: (octets: string) => void;
  readonly #emptied: () => void;
  /** Replies in order; undefined while one is awaited. */
  readonly #slots: { text: string | undefined }[] = [];
  #ready = '';
  #flushPlanned = false;
  #waiters: { readonly below: number; readonly run: () => void }[] = [];

  /**
   * @param write sends ASCII text to the client
   * @param emptied runs when the last awaited reply has come
   */
  constructor(write: (octets: string) => void, emptied: () => void) {
    this.#write = write;
    this.#emptied = emptied;
  }

  /** Replies that are still awaited, or stand behind an awaited one. */
  get outstanding(): number {
    return this.#slots.length;
  }

  /** Adds a rendered reply. */
  add(text: string): void {
    if (this.#slots.length > 0) this.#slots.push({ text });
    else this.#append(text);
  }

  /** Adds the place of a reply that will come; the promise must not reject. */
  addLater(text: Promise<string>): void {
    const slot: { text: string | undefined } = { text: undefined };
    this.#slots.push(slot);
    void text.then((rendered) => {
      slot.text = rendered;
      this.#settle();
    });
  }

  /** Gives up the replies that are awaited, and those behind them, for one that ends the session. */
  addLast(text: string): void {
    this.#slots.length = 0;
    this.#append(text);
  }

  /** Runs `action` once fewer than `count` replies are outstanding; at once if that is so. */
  whenBelow(count: number, action: () => void): void {
    if (this.#slots.length < count) action();
    else this.#waiters.push({ below: count, run: action });
  }

  /** Writes now what is ready. */
  flush(): void {
    const text = this.#ready;
    this.#ready = '';
    if (text !== '') this.#write(text);
  }

  #append(text: string): void {
    this.#ready += text;
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    process.nextTick(() => {
      this.#flushPlanned = false;
      this.flush();
    });
  }

  #settle(): void {
    let done = 0;
    for (const slot of this.#slots) {
      if (slot.text === undefined) break;
      this.#append(slot.text);
      done += 1;
    }
    if (done === 0) return;
    this.#slots.splice(0, done);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) this.whenBelow(waiter.below, waiter.run);
    if (this.#slots.length === 0) this.#emptied();
  }
}
