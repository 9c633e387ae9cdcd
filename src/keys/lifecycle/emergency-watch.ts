import { KeysError } from '../keys-error.ts';
import type { ManifestDomain } from '../manifest.ts';
import { EMERGENCY_EVENTS } from './emergency.ts';
import type { LifecycleAccess } from './lifecycle-access.ts';
import type { StepResult } from './step-outcome.ts';

/**
 * Lets a rotation that waits for DNS notice that somebody declared an emergency meanwhile: it holds
 * no lease then that could be taken away from it, and whoever declared it decides how to go on. The
 * first thing that an emergency writes is that keys are revoked; only then is the journal, which
 * may be long, asked whether it was one. No times are compared: the other machine has its own clock.
 */
export class EmergencyWatch {
  readonly #access: Pick<LifecycleAccess, 'journal' | 'store'>;
  readonly #domain: string;
  readonly #known: ReadonlySet<string>;

  constructor(access: Pick<LifecycleAccess, 'journal' | 'store'>, start: ManifestDomain) {
    this.#access = access;
    this.#domain = start.domain;
    this.#known = new Set(revokedOf(start));
  }

  /** Why the rotation must not go on; undefined: no emergency began since the watch did. */
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
    const revoked = revokedOf(entry).filter((selector) => !this.#known.has(selector));
    if (revoked.length === 0) return undefined;
    for await (const { event, details, caller, at, reason } of journal.read({ domain })) {
      if (event !== EMERGENCY_EVENTS.begun) continue;
      const named = (details?.selectors ?? '').split(' ');
      if (!revoked.some((selector) => named.includes(selector))) continue;
      const why = `${caller} declared an emergency at ${at}, because: ${reason}; this rotation stops`;
      const action = `once it is over, "waxseal keys rotate ${domain}" goes on with the new keys; "waxseal keys abort ${domain}" gives them up`;
      return { kind: 'operator', why, action };
    }
    return undefined;
  }
}

function revokedOf(entry: ManifestDomain | undefined): readonly string[] {
  const revoked = (entry?.keys ?? []).filter(({ state }) => state === 'revoked');
  return revoked.map(({ selector }) => selector);
}
