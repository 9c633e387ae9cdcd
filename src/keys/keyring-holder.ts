import { errorMessage, WaxsealError } from '../base/errors.ts';
import type { SigningKeyring, SigningKeys } from '../mail/signer.ts';
import { type Keyring, type KeyringOptions, loadKeyring } from './keyring.ts';
import { refuseWorse } from './refuse-worse.ts';

/** What a reload came to. */
export type KeyringReload =
  | { readonly kind: 'loaded'; readonly keyring: Keyring }
  /** The old keyring stays in force. */
  | { readonly kind: 'kept'; readonly error: WaxsealError };

/** A keyring that was read and is not in force yet. */
export type PreparedKeyring =
  | { readonly kind: 'ready'; readonly keyring: Keyring; readonly commit: () => void }
  | Extract<KeyringReload, { kind: 'kept' }>;

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
    const reload = (async (): Promise<KeyringReload> => {
      await before;
      const prepared = await this.prepare();
      if (prepared.kind === 'kept') return prepared;
      prepared.commit();
      return { kind: 'loaded', keyring: prepared.keyring };
    })();
    this.#underWay = reload;
    return await reload;
  }

  /**
   * Reads the keyring anew and compares it with the one in force, which stays until `commit`: so it
   * can be swapped together with other things. Never throws. One at a time; see `reload`.
   */
  async prepare(): Promise<PreparedKeyring> {
    try {
      const keyring = await loadKeyring(this.#options);
      if (this.#keyring !== undefined) refuseWorse(this.#keyring, keyring);
      const commit = () => {
        this.#keyring = keyring;
      };
      return { kind: 'ready', keyring, commit };
    } catch (error) {
      return { kind: 'kept', error: knownError(error) };
    }
  }
}

function knownError(error: unknown): WaxsealError {
  return error instanceof WaxsealError
    ? error
    : new WaxsealError('keyring-unreadable', errorMessage(error), { cause: error });
}
