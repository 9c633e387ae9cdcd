import { type Clock, systemClock } from '../base/clock.ts';
import { errorMessage, WaxsealError } from '../base/errors.ts';
import { Turns } from '../base/turns.ts';
import type { SigningKey, SigningKeyring, SigningKeys } from '../mail/signer.ts';
import { ConnectedBackends } from './connected-backends.ts';
import { buildKeyring, type Keyring, type KeyringOptions } from './keyring.ts';
import type { KeyringSnapshot } from './keyring-store.ts';
import { KeysError } from './keys-error.ts';
import type { ManifestDomain } from './manifest.ts';
import { StandInUses } from './stand-in-uses.ts';
import { Freshness } from './store/freshness.ts';
import { isUnchanged, type Merge, mergeShards, type Shards } from './store/merge-shards.ts';
import { type OpenedStore, openStore } from './store/stores.ts';

export type KeyringHolderOptions = KeyringOptions & {
  readonly clock?: Clock;
  /** `keys.maxStaleMs`: not confirmed for so long, nothing is signed; default a day. */
  readonly maxStaleMs?: number;
};

/** What a reload came to. */
export type KeyringReload =
  | {
      readonly kind: 'loaded';
      readonly keyring: Keyring;
      /** What was not taken as it stands, and why; the old state of that part stays. */
      readonly complaints: readonly WaxsealError[];
    }
  /** Nothing was taken; the old keyring stays in force. */
  | { readonly kind: 'kept'; readonly error: WaxsealError };

/** A keyring that was read and is not in force yet. */
export type PreparedKeyring =
  | (Extract<KeyringReload, { kind: 'loaded' }> & {
      /** It says or can do something else than the one in force. */
      readonly isNew: boolean;
      readonly commit: () => void;
    })
  | Extract<KeyringReload, { kind: 'kept' }>;

/** What is in force, with where it came from. */
interface InForce {
  readonly keyring: Keyring;
  readonly shards: Shards;
}

const MAX_STALE_MS = 86_400_000;

/**
 * The keyring that is in force. A reload takes what it can, shard by shard and key by key, and
 * keeps the rest as it was (`merge-shards.ts`, `domain-entry.ts`); transactions under way keep the
 * keys that they were given. A keyring that was not confirmed for `maxStaleMs` signs nothing: this
 * relay may be cut off, and a key may be revoked that it still has.
 */
export class KeyringHolder implements SigningKeyring {
  readonly #options: KeyringHolderOptions;
  readonly #opened: OpenedStore;
  readonly #freshness: Freshness;
  /** The highest generation that each shard ever had here. */
  readonly #seen = new Map<string, number>();
  readonly backends: ConnectedBackends;
  /** When retiring keys signed here last. */
  readonly standIns = new StandInUses();
  readonly #clock: Clock;
  /** Domains that went while a part of the keyring was in trouble: they may stand there. */
  #vanished: readonly ManifestDomain[] = [];
  #inForce: InForce | undefined;
  #isConfirmed = false;
  #confirmedGeneration = 0;
  #prepared = 0;
  #committed = 0;
  readonly #turns = new Turns();

  /** @param options where the keyring is; nothing is read before the first `reload` */
  constructor(options: KeyringHolderOptions) {
    const clock = options.clock ?? systemClock;
    this.#options = options;
    this.#clock = clock;
    this.#opened = openStore(options, clock);
    this.#freshness = new Freshness(clock, options.maxStaleMs ?? MAX_STALE_MS);
    this.backends = new ConnectedBackends({ masterKey: 'must-exist', ...options });
  }

  /** The keyring in force; undefined before the first successful `reload`. */
  get keyring(): Keyring | undefined {
    return this.#inForce?.keyring;
  }

  get fault(): string | undefined {
    if (this.#inForce === undefined) return 'the keyring is not loaded';
    return this.#freshness.fault ?? this.#inForce.keyring.fault;
  }

  /** The last look found all of it in order. */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  /** The newest generation of which every shard was in force as it was read. */
  get confirmedGeneration(): number {
    return this.#confirmedGeneration;
  }

  keysFor(authorDomain: string): SigningKeys {
    if (this.#inForce === undefined) {
      return { kind: 'unusable', domain: authorDomain, reason: 'the keyring is not loaded' };
    }
    const { keyring } = this.#inForce;
    const answer = keyring.keysFor(authorDomain);
    if (answer.kind === 'unknown-domain') return this.#vanishedAnswer(authorDomain) ?? answer;
    if (answer.kind !== 'keys') return answer;
    const reason = this.#freshness.faultOf(keyring.files.get(answer.domain));
    return reason === undefined ? answer : { kind: 'unusable', domain: answer.domain, reason };
  }

  signedInstead({ domain, selector }: SigningKey): void {
    this.standIns.noteUse(domain, selector, this.#clock.wallMs());
  }

  /** Neither a bounce nor a message without signature: what the keyring says of it is not known. */
  #vanishedAnswer(authorDomain: string): SigningKeys | undefined {
    const found = this.#vanished.find(
      ({ domain, subdomains }) =>
        domain === authorDomain || (subdomains && authorDomain.endsWith(`.${domain}`)),
    );
    if (found === undefined) return undefined;
    const reason = `${found.domain} went from the keyring while a part of it cannot be used; it may stand there`;
    return { kind: 'unusable', domain: found.domain, reason };
  }

  /** Reads the keyring anew and puts it in force. Never throws. Calls take turns. */
  async reload(): Promise<KeyringReload> {
    const prepared = await this.prepare();
    if (prepared.kind === 'loaded') prepared.commit();
    return prepared;
  }

  /**
   * Reads the keyring anew and compares it with the one in force, which stays until `commit`: so it
   * can be swapped together with other things. Local keys are opened again, to see whether they
   * still do. Never throws.
   */
  async prepare(): Promise<PreparedKeyring> {
    return await this.#turns.run(async () => await this.#prepare(true));
  }

  /**
   * Looks whether the keyring changed, and puts the change in force. Cheap when it did not. Never
   * throws.
   *
   * @param retry also try keys again that did not open
   * @returns undefined when nothing changed
   */
  async refresh(retry: boolean): Promise<KeyringReload | undefined> {
    return await this.#turns.run(async () => {
      const inForce = this.#inForce;
      const merge = await this.#look();
      if (merge instanceof WaxsealError) return { kind: 'kept', error: merge };
      if (inForce !== undefined && isUnchanged(inForce.shards, merge, inForce.keyring.snapshot)) {
        this.#confirm(merge);
        const [error] = merge.complaints;
        if (!retry) return error === undefined ? undefined : { kind: 'kept', error };
      }
      const prepared = await this.#build(merge, false);
      if (prepared.kind === 'kept') return prepared;
      prepared.commit();
      return prepared.isNew ? prepared : undefined;
    });
  }

  /** Ends the connections of the store. */
  close(): void {
    this.#opened.close();
  }

  get opened(): OpenedStore {
    return this.#opened;
  }

  async #prepare(reopen: boolean): Promise<PreparedKeyring> {
    const merge = await this.#look();
    if (merge instanceof WaxsealError) return { kind: 'kept', error: merge };
    return await this.#build(merge, reopen);
  }

  async #look(): Promise<Merge | WaxsealError> {
    try {
      const looks = await this.#opened.store.look();
      const merge = mergeShards(this.#inForce?.shards ?? new Map(), this.#seen, looks);
      const [complaint] = merge.complaints;
      // A relay that starts wants all of it: an error in a manifest is seen at once.
      this.#isConfirmed = complaint === undefined;
      return this.#inForce === undefined && complaint !== undefined ? complaint : merge;
    } catch (error) {
      this.#isConfirmed = false;
      return knownError(error);
    }
  }

  async #build(merge: Merge, reopen: boolean): Promise<PreparedKeyring> {
    const before = this.#inForce;
    const previous = before?.keyring;
    try {
      const parts = { options: this.#options, backends: this.backends, previous, reopen };
      const { clock } = this.#options;
      const built = await buildKeyring(merge.snapshot, { ...parts, clock });
      const { keyring, failures } = built;
      if (before === undefined && failures[0] !== undefined) {
        return { kind: 'kept', error: failures[0] };
      }
      const complaints = [...merge.complaints, ...failures, ...worseOf(keyring)];
      const isNew =
        before === undefined ||
        !isUnchanged(before.shards, merge, before.keyring.snapshot) ||
        previous?.broken.size !== keyring.broken.size ||
        previous.standIns.size > keyring.standIns.size;
      const [first] = complaints;
      const commit = this.#committer({ keyring, shards: merge.shards }, merge);
      if (!isNew && first !== undefined) {
        commit(); // the same keys; what was confirmed counts
        return { kind: 'kept', error: first };
      }
      return { kind: 'loaded', keyring, complaints, isNew, commit };
    } catch (error) {
      return { kind: 'kept', error: knownError(error) };
    }
  }

  /** What was prepared later, and is in force already, is newer. */
  #committer(next: InForce, merge: Merge): () => void {
    this.#prepared += 1;
    const number = this.#prepared;
    return () => {
      if (number < this.#committed) return;
      this.#committed = number;
      this.#vanished = this.#goneWith(next.keyring.snapshot);
      this.standIns.noteKeyring(this.#inForce?.keyring, this.#clock.wallMs()); // until now
      this.#inForce = next;
      for (const [name, { generation }] of next.shards) {
        this.#seen.set(name, Math.max(generation, this.#seen.get(name) ?? 0));
      }
      this.#confirm(merge);
    };
  }

  #goneWith({ domains }: KeyringSnapshot): readonly ManifestDomain[] {
    const before = this.#inForce?.keyring.snapshot.domains.values() ?? [];
    return [...this.#vanished, ...before].filter(({ domain }) => !domains.has(domain));
  }

  #confirm({ confirmed, complaints, snapshot }: Merge): void {
    this.#freshness.confirm(confirmed);
    if (complaints.length > 0) return;
    this.#confirmedGeneration = snapshot.generation;
    this.#vanished = [];
  }
}

/** Keys that do not take the place of keys that sign, because they do not open. */
function worseOf(keyring: Keyring): KeysError[] {
  return [...keyring.standIns].map(
    ([domain, reason]) =>
      new KeysError('keyring-worse', `${domain}: ${reason}`, {
        hint: 'restore the private key, or make and activate new ones',
      }),
  );
}

function knownError(error: unknown): WaxsealError {
  return error instanceof WaxsealError
    ? error
    : new WaxsealError('keyring-unreadable', errorMessage(error), { cause: error });
}
