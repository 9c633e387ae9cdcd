/**
 * What a store that is no directory offers: small named texts, each with a version to compare
 * before it is replaced. ConfigMaps and S3 objects are two of them; the keyring, the journal and
 * the reports of relays are written upon this and do not know which it is.
 */

export interface StoredObject {
  readonly text: string;
  /** Changes with every write: `resourceVersion`, ETag. */
  readonly version: string;
}

/** What must stand there for a write to take place; `any`: whatever stands there. */
export type Expected = { readonly version: string } | 'absent' | 'any';

export type Put =
  | {
      readonly kind: 'written';
      readonly version: string;
      /** With which `remove` erases exactly this text, where the place keeps old versions. */
      readonly erase: string | undefined;
    }
  /** Something else stands there; nothing was written. */
  | {
      readonly kind: 'conflict';
      /**
       * Another write is under way, and it may be an earlier attempt at this very one: it can take
       * effect yet, until somebody else's does.
       */
      readonly isPending: boolean;
    };

export interface ListedObject {
  readonly name: string;
  /** As of `StoredObject`. */
  readonly version: string;
  /** When it was made, or written last: as the service says. */
  readonly changedMs: number;
}

/** What the texts are for; a place may tell them apart by label or folder. */
export type ObjectPart = 'index' | 'shard' | 'journal' | 'relay';

export interface ObjectPlace {
  /** For messages, e.g. `ConfigMaps waxseal-keyring-* in namespace mail`. */
  readonly description: string;
  /** The largest text in octets. */
  readonly maxBytes: number;
  /**
   * Reads a text.
   *
   * @param known the version that the caller has: the answer may then be `unchanged`
   * @returns undefined when there is none
   * @throws KeysError `keyring-unreadable`
   */
  get(part: ObjectPart, name: string): Promise<StoredObject | undefined>;
  get(
    part: ObjectPart,
    name: string,
    known: string | undefined,
  ): Promise<StoredObject | 'unchanged' | undefined>;
  /**
   * Writes a text.
   *
   * @throws KeysError `keyring-unwritable` when it was not written, or nobody knows
   */
  put(part: ObjectPart, name: string, text: string, expected: Expected): Promise<Put>;
  /** Removes a text; one that is not there is no error. @throws KeysError `keyring-unwritable` */
  remove(part: ObjectPart, name: string, erase?: string): Promise<void>;
  /**
   * All of a part whose names begin with `prefix`, sorted by name.
   *
   * @throws KeysError `keyring-unreadable`
   */
  list(part: ObjectPart, prefix?: string): Promise<readonly ListedObject[]>;
  close(): void;
}
