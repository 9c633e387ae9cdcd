import type { KeyObject } from 'node:crypto';
import type { Signer } from '../mail/signer.ts';
import type { BackendName } from './backend-names.ts';
import type { Kms } from './kms/kms.ts';
import type { KeyMaterial } from './manifest.ts';
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
  /** Regions of new keys, the first one's key is the primary; undefined: as configured. */
  readonly regions?: readonly string[];
  /** AWS KMS, for the back ends that need it; one for the whole process. */
  readonly kms?: Kms | undefined;
  /** `keys.store`: where it is not `file`, what has no service of its own goes into the manifest. */
  readonly store?: { readonly kind: string } | undefined;
}

/** A key as the manifest names it, with the public half that its signatures must fit. */
export interface StoredKey extends KeyIdentity {
  /** The value of `p=`. */
  readonly publicKey: string;
  /** Where this back end keeps it; as `create` or `keep` gave it. */
  readonly material?: KeyMaterial | undefined;
}

/** What making or keeping a key gave. */
export interface KeptKey {
  readonly publicKey: KeyObject;
  /** For the manifest; undefined where domain and selector are enough. */
  readonly material: KeyMaterial | undefined;
}

/** How giving a private key up went. */
export type Destruction =
  | { readonly kind: 'done' }
  /** Can be taken back until then (UTC, ISO 8601). */
  | { readonly kind: 'scheduled'; readonly until: string };

/** A private key that a back end keeps and that no manifest lists. */
export interface OrphanKey {
  /** How the back end names it: an ARN, a path. */
  readonly reference: string;
  readonly domain: string | undefined;
  readonly selector: string | undefined;
  readonly intent: string | undefined;
  /** UTC, ISO 8601. */
  readonly createdAt: string | undefined;
}

/** What opening a key gave. Refusals are values, since one bad key must not stop the others. */
export type OpenedKey =
  | { readonly kind: 'open'; readonly signer: Signer }
  /** `key`: only this one is concerned; `backend`: the others will fail in the same way. */
  | {
      readonly kind: 'unusable';
      readonly scope: 'key' | 'backend';
      readonly reason: string;
      /** Where the back end goes on trying. */
      readonly later?: LaterKey;
    };

/** A key that may open later, by itself. */
export interface LaterKey {
  /** undefined as long as it is not open; once there, it stays. */
  readonly signer: Signer | undefined;
  /** Why it is not. */
  readonly reason: string;
  /** True: nothing is wrong with it, its turn has not come yet. */
  readonly pending: boolean;
}

/** A back end at work: where private keys are made, kept and used. */
export interface KeyBackend {
  readonly warnings: readonly string[];
  /**
   * Makes a key pair and keeps its private half.
   *
   * @param intent the journal's id of this making: where it was begun before, the same key is
   *   adopted and not a second one made
   * @param begun `now`: nobody has used this intent before, so nothing is searched for. A search
   *   may take long where a back end is remote.
   */
  create(identity: KeyIdentity, intent: string, begun?: 'now' | 'perhaps-before'): Promise<KeptKey>;
  /** Keeps a private key made elsewhere; the same one again is no error. */
  keep(identity: KeyIdentity, privateKey: KeyObject): Promise<KeptKey>;
  /** True when something is kept under this name, whether the manifest knows it or not. */
  holds(identity: Pick<KeyIdentity, 'domain' | 'selector'>): Promise<boolean>;
  open(key: StoredKey): Promise<OpenedKey>;
  /** Sees to it that nobody can sign with it any more, where the back end can do that. */
  disable(key: StoredKey): Promise<void>;
  /** Gives the private half up; again is no error. */
  destroy(key: StoredKey): Promise<Destruction>;
  /** Takes a scheduled destruction back. @throws KeysRefusal where it is too late, or was final */
  cancelDestroy(key: StoredKey): Promise<void>;
  /**
   * Gives the private half out, to be published after its revocation; absent where it never leaves
   * the back end.
   *
   * @throws KeysError `key-unusable`
   */
  reveal?(key: StoredKey): Promise<KeyObject>;
  /** What it keeps and the manifests do not list. */
  orphans(known: readonly StoredKey[]): Promise<readonly OrphanKey[]>;
}

/** One row: everything about a back end. */
export interface BackendRow {
  /** An imported key is not copied: it stays where it was, and whoever used it before may go on. */
  readonly imports?: 'by-reference';
  /**
   * Of a back end that keeps keys in Regions, which `--regions` may name: where a key is, by what
   * the manifest has of it, the primary first.
   */
  regionsOf?(material: KeyMaterial | undefined): readonly string[];
  /** Its keys are in AWS, which knows who calls. */
  readonly inAws?: boolean;
  /**
   * Where a verified key of the same domain and family may sign in place of one of this back end
   * that does not answer, if the configuration says so.
   */
  readonly fallBack?: BackendName;
  /** True: opening a key again costs no more than reading a file, so a reload looks at each. */
  readonly isLocal?: boolean;
  /**
   * True where a key can be used as soon as it is made; elsewhere permissions spread slowly, and
   * `keys.rotation.authLagMs` is waited for where no relay reports.
   */
  readonly usableAtOnce?: boolean;
  /**
   * Makes it ready.
   *
   * @throws KeysError when none of its keys can be used, e.g. without the master key
   */
  connect(options: BackendOptions): Promise<KeyBackend>;
}
