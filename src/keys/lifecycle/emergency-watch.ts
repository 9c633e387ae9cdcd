import { EMERGENCY_EVENTS } from './emergency.ts';
import type { LifecycleAccess } from './lifecycle-access.ts';
import type { StepResult } from './step-outcome.ts';

/**
 * Lets a rotation that waits for DNS notice that somebody declared an emergency meanwhile: it holds
 * no lease then that could be taken away from it, and whoever declared it decides how to go on. By
 * the ids in the journal, not by its times: the other machine may have another clock.
 */
export class EmergencyWatch {
  readonly #access: Pick<LifecycleAccess, 'journal'>;
  readonly #domain: string;
  readonly #known: ReadonlySet<string>;

  private constructor(
    access: Pick<LifecycleAccess, 'journal'>,
    domain: string,
    known: ReadonlySet<string>,
  ) {
    this.#access = access;
    this.#domain = domain;
    this.#known = known;
  }

  /** @throws KeysError `journal-unreadable` */
  static async begin(
    access: Pick<LifecycleAccess, 'journal'>,
    domain: string,
  ): Promise<EmergencyWatch> {
    const known = new Set<string>();
    for await (const { intent } of begun(access, domain)) known.add(intent ?? '');
    return new EmergencyWatch(access, domain, known);
  }

  /**
   * Why the rotation must not go on; undefined: nothing happened since the watch began.
   *
   * @throws KeysError `journal-unreadable`
   */
  async stop(): Promise<StepResult | undefined> {
    const domain = this.#domain;
    for await (const { intent, caller, at, reason } of begun(this.#access, domain)) {
      if (this.#known.has(intent ?? '')) continue;
      const why = `${caller} declared an emergency at ${at}, because: ${reason}; this rotation stops`;
      const action = `once it is over, "waxseal keys rotate ${domain}" goes on with the new keys; "waxseal keys abort ${domain}" gives them up`;
      return { kind: 'operator', why, action };
    }
    return undefined;
  }
}

async function* begun({ journal }: Pick<LifecycleAccess, 'journal'>, domain: string) {
  for await (const entry of journal.read({ domain })) {
    if (entry.event === EMERGENCY_EVENTS.begun) yield entry;
  }
}
