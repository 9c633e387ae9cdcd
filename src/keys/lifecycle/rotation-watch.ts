import { KeysError } from '../keys-error.ts';
import type { ManifestDomain } from '../manifest.ts';
import type { JournalEntry } from '../store/journal.ts';
import { EMERGENCY_EVENTS } from './emergency.ts';
import type { LifecycleAccess } from './lifecycle-access.ts';
import type { StepResult } from './step-outcome.ts';
import { ABORTING } from './take-back.ts';

/**
 * Lets a command that waits for DNS notice that somebody declared an emergency meanwhile, or gave
 * its new keys up: it holds no lease then that could be taken away from it, and whoever did that
 * decides how to go on. Both begin with keys that are revoked; only then is the journal, which may be
 * long, asked why. No times are compared: the other machine has its own clock.
 */
export class RotationWatch {
  readonly #access: Pick<LifecycleAccess, 'journal' | 'store'>;
  readonly #domain: string;
  readonly #what: string;
  readonly #known: ReadonlySet<string>;
  readonly #selectors: readonly string[] | undefined;

  /**
   * @param what waits: a rotation
   * @param selectors what it waits for; undefined: keys of the domain, of which some are not made yet
   */
  constructor(
    access: Pick<LifecycleAccess, 'journal' | 'store'>,
    start: ManifestDomain,
    what = 'rotation',
    selectors?: readonly string[],
  ) {
    this.#access = access;
    this.#what = what;
    this.#selectors = selectors;
    this.#domain = start.domain;
    this.#known = new Set(endedIn(start));
  }

  /** Why it must not go on; undefined: nothing of that kind since the watch began. */
  async stop(): Promise<StepResult | undefined> {
    try {
      return await this.#look();
    } catch (error) {
      // A store that cannot be asked now is asked at the next look; nothing can be written to it.
      if (error instanceof KeysError) return undefined;
      throw error;
    }
  }

  async #look(): Promise<StepResult | undefined> {
    const { journal, store } = this.#access;
    const domain = this.#domain;
    const entry = (await store.read()).domains.get(domain);
    const ended = endedIn(entry).filter(
      (selector) => !this.#known.has(selector) && this.#selectors?.includes(selector) !== false,
    );
    if (ended.length === 0) return undefined;
    for await (const journaled of journal.read({ domain })) {
      const reason = REASONS[journaled.event]?.(journaled, ended);
      if (reason === undefined) continue;
      const { why, action } = reason;
      return { kind: 'operator', why: `${why}; this ${this.#what} stops`, action };
    }
    return undefined;
  }
}

interface Reason {
  readonly why: string;
  readonly action: string;
}

/** By event, whether it ended one of the keys, and what that means. */
const REASONS: Readonly<
  Record<string, (entry: JournalEntry, ended: readonly string[]) => Reason | undefined>
> = {
  [EMERGENCY_EVENTS.begun]: ({ details, caller, at, reason, domain }, ended) => {
    const named = (details?.selectors ?? '').split(' ');
    if (!ended.some((selector) => named.includes(selector))) return undefined;
    return {
      why: `${caller} declared an emergency at ${at}, because: ${reason}`,
      action: `once it is over, "waxseal keys rotate ${domain}" goes on with the new keys; "waxseal keys abort ${domain}" gives them up`,
    };
  },
  [ABORTING]: ({ selector, caller, at, domain }, ended) => {
    if (!ended.includes(selector ?? '')) return undefined;
    return {
      why: `${caller} gave its new keys up at ${at}`,
      action: `"waxseal keys rotate ${domain}" begins another one`,
    };
  },
};

function endedIn(entry: ManifestDomain | undefined): readonly string[] {
  const ended = (entry?.keys ?? []).filter(
    ({ state }) => state === 'revoked' || state === 'destroyed',
  );
  return ended.map(({ selector }) => selector);
}
