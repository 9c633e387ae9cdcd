import { errorMessage, WaxsealError } from '../base/errors.ts';
import type { SigningKeyring, SigningKeys } from '../mail/signer.ts';
import { type Keyring, type KeyringOptions, loadKeyring } from './keyring.ts';

/** What a reload came to. */
export type KeyringReload =
  | { readonly kind: 'loaded'; readonly keyring: Keyring }
  /** The old keyring stays in force. */
  | { readonly kind: 'kept'; readonly error: WaxsealError };

/**
 * The keyring that is in force. A reload that fails keeps the old one and says why; transactions
 * under way keep the keys that they were given.
 */
export class KeyringHolder implements SigningKeyring {
  readonly #options: KeyringOptions;
  #keyring: Keyring | undefined;
  #underWay: Promise<KeyringReload> | undefined;

  /** @param options where the keyring is; nothing is read before the first `reload` */
  constructor(options: KeyringOptions) {
    this.#options = options;
  }

  /** The keyring in force; undefined before the first successful `reload`. */
  get keyring(): Keyring | undefined {
    return this.#keyring;
  }

  get fault(): string | undefined {
    return this.#keyring === undefined ? 'the keyring is not loaded' : this.#keyring.fault;
  }

  keysFor(authorDomain: string): SigningKeys {
    const reason = 'the keyring is not loaded';
    return (
      this.#keyring?.keysFor(authorDomain) ?? { kind: 'unusable', domain: authorDomain, reason }
    );
  }

  /**
   * Reads the keyring anew. Never throws. A call during a running reload waits for it and then
   * reads once more, since the files may have changed in between.
   */
  async reload(): Promise<KeyringReload> {
    const before = this.#underWay;
    const reload = (async () => {
      await before;
      return await this.#load();
    })();
    this.#underWay = reload;
    return await reload;
  }

  async #load(): Promise<KeyringReload> {
    try {
      const keyring = await loadKeyring(this.#options);
      refuseOlder(this.#keyring, keyring);
      if (this.#keyring !== undefined && keyring.fault !== undefined) {
        throw new WaxsealError('keyring-unusable', `the new keyring cannot sign: ${keyring.fault}`);
      }
      this.#keyring = keyring;
      return { kind: 'loaded', keyring };
    } catch (error) {
      const known =
        error instanceof WaxsealError
          ? error
          : new WaxsealError('keyring-unreadable', errorMessage(error), { cause: error });
      return { kind: 'kept', error: known };
    }
  }
}

/** A manifest that went back in time would bring revoked keys back to life. */
function refuseOlder(current: Keyring | undefined, next: Keyring): void {
  if (current === undefined) return;
  for (const [file, seen] of current.generations) {
    const found = next.generations.get(file);
    if (found === undefined || found >= seen) continue;
    const message = `${file}: generation ${found} is older than ${seen}, which is in force`;
    throw new WaxsealError('keyring-outdated', message, {
      hint: 'an old copy of the keyring was put in place? if that is meant, restart the relay',
    });
  }
}
