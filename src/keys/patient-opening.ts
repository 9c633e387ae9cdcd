import type { Clock } from '../base/clock.ts';
import type { LaterKey, OpenedKey } from './backend.ts';

/**
 * Opening keys that lie with a service, for a keyring that is in force already. Such a service may
 * take long, and the same look may bring a revocation, or the next one: so it is waited for a
 * moment, and what is not open then opens later, by itself.
 */

/** Relays stop using a key within five seconds; looking, and the pause between looks, take the rest. */
const PATIENCE_MS = 1000;
/** Keys that are opened at the same time, those of earlier looks included. */
const OPENED_AT_ONCE = 64;

/** One for the whole process, so that looks that were not waited for do not add up. */
export class OpeningQueue {
  readonly #waiting: (() => void)[] = [];
  #free = OPENED_AT_ONCE;

  async run(open: () => Promise<OpenedKey>): Promise<OpenedKey> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await open();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}

/** The patience of one look, for all of its keys together. */
export class Patience {
  readonly #over: Promise<void>;
  /** Ends the timer. */
  readonly end: () => void;

  constructor(clock: Clock) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#over = promise;
    const cancel = clock.after(PATIENCE_MS, resolve);
    this.end = () => {
      cancel();
      resolve();
    };
  }

  /** @param opening never rejects */
  async wait(opening: Promise<OpenedKey>): Promise<OpenedKey> {
    const later = new OpeningKey(opening);
    const opened = await Promise.race([opening, this.#over]);
    return opened ?? { kind: 'unusable', scope: 'backend', reason: later.reason, later };
  }
}

/** A key of which nobody knows yet whether it opens. */
class OpeningKey implements LaterKey {
  #outcome: OpenedKey | undefined;

  constructor(opening: Promise<OpenedKey>) {
    void opening.then((outcome) => {
      this.#outcome = outcome;
    });
  }

  get signer(): LaterKey['signer'] {
    const outcome = this.#outcome;
    return outcome?.kind === 'open' ? outcome.signer : outcome?.later?.signer;
  }

  /** Its back end tells of keys that only wait for their turn; of this one it has said nothing yet. */
  get pending(): boolean {
    return this.#outcome?.kind === 'unusable' && this.#outcome.later?.pending === true;
  }

  get reason(): string {
    if (this.#outcome?.kind !== 'unusable') return 'its back end has not opened it yet';
    return this.#outcome.later?.reason ?? this.#outcome.reason;
  }
}
