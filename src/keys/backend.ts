import type { KeyObject } from 'node:crypto';
import type { Signer } from '../mail/signer.ts';
import type { KeyIdentity } from './sealed-key.ts';

/** What a back end may need; each takes what it knows. */
export interface BackendOptions {
  /** The keyring's directory (`keys.dir`). */
  readonly dir: string;
  /** `keys.masterKeyFile`. */
  readonly masterKeyFile: string;
  /**
   * `if-first`: make the master key when there is none and nothing is encrypted yet. Only
   * `keys create`, `keys import` and `demo` say so.
   */
  readonly masterKey: 'must-exist' | 'make-if-first';
}

/** A key as the manifest names it, with the public half that its signatures must fit. */
export interface StoredKey extends KeyIdentity {
  /** The value of `p=`. */
  readonly publicKey: string;
}

/** What opening a key gave. Refusals are values, since one bad key must not stop the others. */
export type OpenedKey =
  | { readonly kind: 'open'; readonly signer: Signer }
  /** `key`: only this one is concerned; `backend`: the others will fail in the same way. */
  | { readonly kind: 'unusable'; readonly scope: 'key' | 'backend'; readonly reason: string };

/** A back end at work: where private keys are made, kept and used. */
export interface KeyBackend {
  readonly warnings: readonly string[];
  /**
   * Makes a key pair and keeps its private half.
   *
   * @returns the public half
   */
  create(identity: KeyIdentity): Promise<KeyObject>;
  /** Keeps a private key made elsewhere; the same one again is no error. */
  keep(identity: KeyIdentity, privateKey: KeyObject): Promise<void>;
  /** True when something is kept under this name, whether the manifest knows it or not. */
  holds(identity: Pick<KeyIdentity, 'domain' | 'selector'>): Promise<boolean>;
  open(key: StoredKey): Promise<OpenedKey>;
}

/** One row: everything about a back end. */
export interface BackendRow {
  /**
   * Makes it ready.
   *
   * @throws KeysError when none of its keys can be used, e.g. without the master key
   */
  connect(options: BackendOptions): Promise<KeyBackend>;
}
