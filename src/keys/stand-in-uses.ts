import { recordName } from './key-name.ts';
import type { Keyring } from './keyring.ts';

/** The last time at which a key signed here in place of another one. */
export interface StandInUse {
  readonly domain: string;
  readonly selector: string;
  /** Milliseconds since the epoch. */
  readonly lastMs: number;
}

/**
 * When retiring keys signed here last, because their successors cannot be used: mail of then is
 * under way for days, and the key must not be withdrawn before it has arrived. Relays report it
 * (`store/stand-in-report.ts`).
 */
export class StandInUses {
  readonly #uses = new Map<string, StandInUse>();
  #othersMs = 0;

  /**
   * A key signs in place of another one; cheap enough to be called for each message.
   *
   * @param wallMs when, in milliseconds since the epoch; an earlier time than the known one changes nothing
   */
  noteUse(domain: string, selector: string, wallMs: number): void {
    const name = recordName(selector, domain);
    const lastMs = Math.max(wallMs, this.#uses.get(name)?.lastMs ?? 0);
    this.#uses.set(name, { domain, selector, lastMs });
  }

  /** Every retiring key that signs in a keyring which is in force does so now. */
  noteKeyring(keyring: Keyring | undefined, wallMs: number): void {
    for (const domain of keyring?.standIns.keys() ?? []) {
      for (const { key } of keyring?.entry(domain)?.signers ?? []) {
        if (key.state === 'retiring') this.noteUse(domain, key.selector, wallMs);
      }
    }
  }

  /** Some did that are not known by name. */
  noteOthers(wallMs: number): void {
    this.#othersMs = Math.max(this.#othersMs, wallMs);
  }

  /** The last time of keys that are not known by name; 0: there are none. */
  get othersMs(): number {
    return this.#othersMs;
  }

  /** The last ones first. */
  list(): readonly StandInUse[] {
    return [...this.#uses.values()].sort((one, other) => other.lastMs - one.lastMs);
  }

  /** Forgets those that count for nothing any more. */
  forget(isOver: (use: StandInUse) => boolean): void {
    for (const [name, use] of this.#uses) if (isOver(use)) this.#uses.delete(name);
  }
}
