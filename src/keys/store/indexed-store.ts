import { createHash, randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../base/clock.ts';
import { pause } from '../../base/pause.ts';
import { Turns } from '../../base/turns.ts';
import {
  joinSound,
  type KeyringChange,
  type KeyringSnapshot,
  type KeyringSource,
  type KeyringStore,
  type ShardLook,
} from '../keyring-store.ts';
import { KeysError } from '../keys-error.ts';
import type { Manifest, ManifestDomain } from '../manifest.ts';
import { parseShard, renderShard } from './manifest-json.ts';
import type { ObjectPlace, Put } from './object-place.ts';
import {
  EMPTY_INDEX,
  type IndexedShard,
  parseIndex,
  renderIndex,
  type ShardIndex,
} from './shard-index.ts';

export interface IndexedStoreOptions {
  readonly place: ObjectPlace;
  readonly clock: Clock;
  /** `keys.store.domainsPerShard` */
  readonly domainsPerShard: number;
}

/** The index as it was read, with the version that a change must find there. */
interface KnownIndex {
  readonly index: ShardIndex;
  readonly version: string | undefined;
}

/** A change that was worked out and is not written yet. */
interface NextState {
  readonly index: ShardIndex;
  readonly written: readonly IndexedShard[];
  readonly replaced: readonly IndexedShard[];
}

const INDEX = 'index';
/** Others that were first, before a change is given up. */
const MAX_ATTEMPTS = 30;
const FIRST_PAUSE_MS = 20;
const LAST_PAUSE_MS = 1000;
/** Shards that are read at the same time. */
const READ_AT_ONCE = 8;
/** A shard may be replaced between reading the index and reading the shard. */
const LOOK_ATTEMPTS = 4;
/** A new domain goes into a shard of at most this part of the largest one: domains grow. */
const FULL_SHARE = 0.4;
/** A shard that would pass this part of the largest one gives the changed domain away. */
const OVERFULL_SHARE = 0.9;
/** Objects that wait for the next change to be removed; more are left to a sweep. */
const MAX_PENDING = 20;
/** Objects that no index names are removed when they are older than the newest by this: nobody is about to name them. */
const ORPHAN_AGE_MS = 3_600_000;

/**
 * The keyring in objects under an index (`shard-index.ts`). There is no lock: who finds another
 * index than it read begins again.
 */
export class IndexedKeyringStore implements KeyringStore, KeyringSource {
  readonly #place: ObjectPlace;
  readonly #clock: Clock;
  readonly #domainsPerShard: number;
  /** Object name to content. An object is never written twice. */
  readonly #shards = new Map<string, Manifest | KeysError>();
  #index: { readonly version: string; readonly index: ShardIndex } | undefined;
  readonly #turns = new Turns();
  /**
   * Of changes that were refused and may come true yet (see `Put.isPending`), and what could not be
   * removed: taken away with the next change.
   */
  #pending: IndexedShard[] = [];
  #swept = false;

  constructor({ place, clock, domainsPerShard }: IndexedStoreOptions) {
    this.#place = place;
    this.#clock = clock;
    this.#domainsPerShard = domainsPerShard;
  }

  async read(): Promise<KeyringSnapshot> {
    return await this.#read(undefined);
  }

  around(domain: string): Pick<KeyringStore, 'read' | 'change'> {
    return {
      read: async () => await this.#read(domain),
      change: async (edit) => await this.#turns.run(async () => await this.#change(edit, domain)),
    };
  }

  async #read(only: string | undefined): Promise<KeyringSnapshot> {
    const { index, looks } = await this.#load();
    return snapshotOf(index, looks, only);
  }

  async look(): Promise<readonly ShardLook[]> {
    return (await this.#load()).looks;
  }

  async change<Result>(
    edit: (current: KeyringSnapshot) => Promise<KeyringChange<Result>>,
  ): Promise<Result> {
    // One at a time in this process: they would only be in each other's way.
    return await this.#turns.run(async () => await this.#change(edit, undefined));
  }

  async #change<Result>(
    edit: (current: KeyringSnapshot) => Promise<KeyringChange<Result>>,
    only: string | undefined,
  ): Promise<Result> {
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const known = await this.#readIndex();
      const force = only !== undefined && attempt >= LOOK_ATTEMPTS;
      const looks = await this.#loadOf(known.index, force);
      if (looks === undefined) continue;
      const { domain, result } = await edit(snapshotOf(known.index, looks, only));
      if (domain === undefined) return result;
      const shards = manifestsOf(looks);
      if (await this.#commit(known, await this.#write(known.index, shards, domain))) return result;
      const longest = Math.min(FIRST_PAUSE_MS * 2 ** attempt, LAST_PAUSE_MS);
      await pause(this.#clock, longest * Math.random());
    }
    const message = `${this.#place.description}: ${MAX_ATTEMPTS} times somebody else was first; nothing was written`;
    throw new KeysError('keyring-changed', message, { hint: 'run the command again' });
  }

  /** Writes the changed shards beside the old ones; nobody sees them yet. */
  async #write(
    index: ShardIndex,
    shards: ReadonlyMap<string, Manifest>,
    domain: ManifestDomain,
  ): Promise<NextState> {
    const generation = index.generation + 1;
    const changed = place(index, shards, domain, {
      maxBytes: this.#place.maxBytes,
      domainsPerShard: this.#domainsPerShard,
    });
    const written: IndexedShard[] = [];
    for (const [name, domains] of changed) {
      const manifest: Manifest = { generation, domains };
      written.push(await this.#putShard(name, manifest));
    }
    const names = new Set(changed.keys());
    const others = index.shards.filter(({ name }) => !names.has(name));
    return {
      index: { generation, shards: [...others, ...written] },
      written,
      replaced: index.shards.filter(({ name }) => names.has(name)),
    };
  }

  async #putShard(name: string, manifest: Manifest): Promise<IndexedShard> {
    const object = `${name}-${manifest.generation}-${randomBytes(6).toString('hex')}`;
    const text = renderShard(manifest);
    const parsed = parseShard(text, object); // what could not be read back is not written
    const put = await this.#place.put('shard', object, text, 'absent');
    this.#shards.set(object, parsed);
    const { generation, domains } = manifest;
    const shard = { name, object, digest: digestOf(text), generation, domains: domains.length };
    const bytes = Buffer.byteLength(text);
    const erase = put.kind === 'written' ? put.erase : undefined;
    return erase === undefined ? { ...shard, bytes } : { ...shard, bytes, erase };
  }

  /** @returns false when another change was first; what was written is taken away again then */
  async #commit(known: KnownIndex, next: NextState): Promise<boolean> {
    const text = renderIndex(next.index);
    const expected = known.version === undefined ? 'absent' : { version: known.version };
    let put: Put | undefined;
    let failure: unknown;
    try {
      put = await this.#place.put('index', INDEX, text, expected);
    } catch (error) {
      failure = error;
    }
    if (put?.kind === 'written') this.#index = { version: put.version, index: next.index };
    // A request that was repeated, or whose answer was lost, may have been ours all the same.
    else if (!(await this.#names(next))) {
      if (failure !== undefined) throw failure;
      if (put?.kind === 'conflict' && put.isPending) {
        this.#pending.push(...next.written, ...next.replaced);
      } else await this.#removeAll(next.written);
      return false;
    }
    await this.#removePending(next.index);
    await this.#removeAll(next.replaced);
    await this.#sweep();
    return true;
  }

  /** An index came after theirs, so they take effect no more; the one that did is in it. */
  async #removePending({ shards }: ShardIndex): Promise<void> {
    const named = new Set(shards.map(({ object }) => object));
    const pending = this.#pending.filter(({ object }) => !named.has(object));
    this.#pending = [];
    await this.#removeAll(pending);
  }

  async #names({ written }: NextState): Promise<boolean> {
    const { index } = await this.#readIndex();
    const objects = new Set(index.shards.map(({ object }) => object));
    return written.some(({ object }) => objects.has(object));
  }

  /** Nobody needs them; if it fails, the next change takes them, or the next sweep. */
  async #removeAll(shards: readonly IndexedShard[]): Promise<void> {
    for (const shard of shards) {
      try {
        await this.#place.remove('shard', shard.object, shard.erase);
      } catch {
        if (this.#pending.length < MAX_PENDING) this.#pending.push(shard);
      }
      this.#shards.delete(shard.object);
    }
  }

  /** Once in a process: what killed commands wrote and no index names. */
  async #sweep(): Promise<void> {
    if (this.#swept) return;
    this.#swept = true;
    try {
      const listed = await this.#place.list('shard');
      // By the service's clock, which the shard that was just written tells: if ours were ahead,
      // what another one is about to put into the index would look old.
      const newestMs = listed.reduce((latest, { changedMs }) => Math.max(latest, changedMs), 0);
      const before = newestMs - ORPHAN_AGE_MS;
      const { index } = await this.#readIndex();
      const named = new Set(index.shards.map(({ object }) => object));
      const orphans = listed.filter(
        ({ name, changedMs }) => !named.has(name) && changedMs < before,
      );
      for (const { name } of orphans) await this.#place.remove('shard', name);
    } catch (error) {
      if (!(error instanceof KeysError)) throw error; // the change itself is done
    }
  }

  async #readIndex(): Promise<KnownIndex> {
    const found = await this.#place.get('index', INDEX, this.#index?.version);
    if (found === undefined) return { index: EMPTY_INDEX, version: undefined };
    if (found !== 'unchanged') {
      const index = parseIndex(found.text, this.#place.description);
      this.#index = { version: found.version, index };
    }
    return this.#index ?? { index: EMPTY_INDEX, version: undefined };
  }

  /** All shards of the newest index. @throws KeysError `keyring-missing` and others */
  async #load(): Promise<{ readonly index: ShardIndex; readonly looks: readonly ShardLook[] }> {
    for (let attempt = 1; ; attempt += 1) {
      const { index, version } = await this.#readIndex();
      if (version === undefined) throw missing(this.#place);
      const looks = await this.#loadOf(index, attempt >= LOOK_ATTEMPTS);
      if (looks !== undefined) return { index, looks };
    }
  }

  /**
   * All shards of an index.
   *
   * @param force take what is missing for broken
   * @returns undefined when one is not there (any more)
   */
  async #loadOf(index: ShardIndex, force = false): Promise<readonly ShardLook[] | undefined> {
    const looks = new Map<string, ShardLook>();
    let isWhole = true;
    const queue = index.shards.values();
    const readNext = async () => {
      for (const shard of queue) {
        const found = this.#shards.get(shard.object) ?? (await this.#readShard(shard));
        if (found === undefined) isWhole = false;
        const { name } = shard;
        looks.set(
          name,
          found instanceof KeysError || found === undefined
            ? { kind: 'broken', name, error: found ?? lost(this.#place, shard) }
            : { kind: 'read', name, manifest: found },
        );
      }
    };
    await Promise.all(Array.from({ length: READ_AT_ONCE }, readNext));
    if (!isWhole && !force) return undefined;
    const objects = new Set(index.shards.map(({ object }) => object));
    for (const object of this.#shards.keys()) if (!objects.has(object)) this.#shards.delete(object);
    return index.shards.flatMap(({ name }) => looks.get(name) ?? []);
  }

  async #readShard(shard: IndexedShard): Promise<Manifest | KeysError | undefined> {
    const found = await this.#place.get('shard', shard.object);
    if (found === undefined) return undefined;
    const read = contentOf(shard, found.text);
    this.#shards.set(shard.object, read);
    await nextTurn(); // one shard is one slice of work; mail goes on between two of them
    return read;
  }
}

function contentOf(shard: IndexedShard, text: string): Manifest | KeysError {
  if (digestOf(text) !== shard.digest) {
    const message = `${shard.object} of the keyring was changed: it does not fit the index`;
    return new KeysError('manifest-invalid', message, { hint: 'change keys by command only' });
  }
  try {
    return parseShard(text, shard.object);
  } catch (error) {
    if (error instanceof KeysError) return error;
    throw error;
  }
}

/** Which shards change, with their domains: the domain's own, or one with room. */
function place(
  index: ShardIndex,
  shards: ReadonlyMap<string, Manifest>,
  domain: ManifestDomain,
  limits: { readonly maxBytes: number; readonly domainsPerShard: number },
): ReadonlyMap<string, readonly ManifestDomain[]> {
  const changed = new Map<string, readonly ManifestDomain[]>();
  const bytesOf = (domains: readonly ManifestDomain[]) =>
    Buffer.byteLength(renderShard({ generation: index.generation + 1, domains }));
  for (const [name, { domains }] of shards) {
    const at = domains.findIndex((entry) => entry.domain === domain.domain);
    if (at < 0) continue;
    const next = domains.with(at, domain);
    if (next.length === 1 || bytesOf(next) <= limits.maxBytes * OVERFULL_SHARE) {
      return changed.set(name, next);
    }
    changed.set(name, domains.toSpliced(at, 1));
  }
  const room = index.shards.find(
    ({ name, domains, bytes }) =>
      !changed.has(name) &&
      shards.has(name) &&
      domains < limits.domainsPerShard &&
      bytes + bytesOf([domain]) <= limits.maxBytes * FULL_SHARE,
  );
  const name = room?.name ?? freshName(index);
  return changed.set(name, [...(shards.get(name)?.domains ?? []), domain]);
}

function freshName({ shards }: ShardIndex): string {
  const numbers = shards.map(({ name }) => Number(name.replace(/^shard-/, '')) || 0);
  return `shard-${Math.max(0, ...numbers) + 1}`;
}

/** @throws KeysError the first shard that is broken, unless `only` stands in another */
function snapshotOf(
  index: ShardIndex,
  looks: readonly ShardLook[],
  only: string | undefined,
): KeyringSnapshot {
  const broken = looks.find((look) => look.kind === 'broken')?.error;
  return { ...joinSound(manifestsOf(looks), broken, only), generation: index.generation };
}

/** Of the shards that can be used. */
function manifestsOf(looks: readonly ShardLook[]): ReadonlyMap<string, Manifest> {
  return new Map(
    looks.flatMap((look) => (look.kind === 'read' ? [[look.name, look.manifest]] : [])),
  );
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}

function missing({ description }: ObjectPlace): KeysError {
  return new KeysError('keyring-missing', `there is no keyring in ${description}`, {
    hint: 'check keys.store; "waxseal keys create DOMAIN" makes the first keyring',
  });
}

function lost({ description }: ObjectPlace, { object }: IndexedShard): KeysError {
  const message = `${object} of the keyring is gone from ${description}`;
  return new KeysError('keyring-unreadable', message, { hint: 'restore it from your backup' });
}
