import { KeysError } from './keys-error.ts';
import type { Manifest, ManifestDomain } from './manifest.ts';

/**
 * What a keyring store is, whatever it lies in. The manifest is kept in *shards* (files, ConfigMaps,
 * objects), each with some of the domains, so that ten thousand domains never make one text of
 * megabytes. Stores are rows of `store/stores.ts`.
 */

/** The keyring as it stands: all shards taken together. */
export interface KeyringSnapshot {
  /** The highest generation of all shards; 0 without any. */
  readonly generation: number;
  /** Name of a shard to its generation. */
  readonly generations: ReadonlyMap<string, number>;
  readonly domains: ReadonlyMap<string, ManifestDomain>;
  /** Domain to the name of the shard that lists it. */
  readonly files: ReadonlyMap<string, string>;
}

/** What a change writes: one domain, since a domain's keys stand in one shard. */
export interface KeyringChange<Result> {
  /** The domain as it is to be; undefined: nothing is written. */
  readonly domain: ManifestDomain | undefined;
  readonly result: Result;
}

/** Where manifests are kept. */
export interface KeyringStore {
  /** @throws KeysError `keyring-missing`, `keyring-unreadable`, `manifest-invalid` */
  read(): Promise<KeyringSnapshot>;
  /**
   * Changes one domain. `edit` sees the newest state, and what it saw still stands when the change
   * is written; it must not wait for people or for DNS. All of the change is written or nothing.
   * Where the store has no lock (Kubernetes, S3), `edit` is **called again** with the newer state
   * when somebody else was first: what it does besides computing must bear that.
   *
   * @throws KeysError `keyring-changed` when others were first again and again
   */
  change<Result>(
    edit: (current: KeyringSnapshot) => Promise<KeyringChange<Result>>,
  ): Promise<Result>;
  /**
   * The same keyring for an emergency of one domain: shards that cannot be used are passed over, if
   * the domain stands in another one. What it reads lacks their domains, so nobody may conclude from
   * it that a name or a private key is free.
   */
  around(domain: string): Pick<KeyringStore, 'read' | 'change'>;
}

/** One shard as a relay sees it. */
export type ShardLook =
  /** An unchanged shard is the very same `manifest` object at the next look. */
  | { readonly kind: 'read'; readonly name: string; readonly manifest: Manifest }
  /** It is there and cannot be used. */
  | { readonly kind: 'broken'; readonly name: string; readonly error: KeysError };

/** Reading as relays do it: one bad shard does not hide the others, and looking often is cheap. */
export interface KeyringSource {
  /** @throws KeysError when nothing can be said of any shard */
  look(): Promise<readonly ShardLook[]>;
}

/**
 * Takes shards together.
 *
 * @throws KeysError `manifest-invalid`: a domain may stand in one of them only
 */
export function joinShards(shards: ReadonlyMap<string, Manifest>): KeyringSnapshot {
  const generations = new Map<string, number>();
  const domains = new Map<string, ManifestDomain>();
  const files = new Map<string, string>();
  let generation = 0;
  for (const [name, manifest] of shards) {
    generations.set(name, manifest.generation);
    generation = Math.max(generation, manifest.generation);
    for (const entry of manifest.domains) {
      const other = files.get(entry.domain);
      if (other !== undefined) {
        const message = `${name}: domains.${JSON.stringify(entry.domain)} stands in ${other} too`;
        throw new KeysError('manifest-invalid', message, { hint: 'keep one of the two entries' });
      }
      files.set(entry.domain, name);
      domains.set(entry.domain, entry);
    }
  }
  return { generation, generations, domains, files };
}

/** Shards with what they were taken together to. */
export interface JoinedShards {
  readonly shards: ReadonlyMap<string, Manifest>;
  readonly snapshot: KeyringSnapshot;
}

/**
 * As `joinShards`, from what was taken together before: with two hundred shards of which one has
 * changed, nearly nothing is to be done.
 *
 * @throws KeysError `manifest-invalid`
 */
export function joinChanged(
  before: JoinedShards | undefined,
  shards: ReadonlyMap<string, Manifest>,
): JoinedShards {
  const isGone =
    before !== undefined && [...before.shards.keys()].some((name) => !shards.has(name));
  if (before === undefined || isGone) return { shards, snapshot: joinShards(shards) };
  const changed = [...shards].filter(([name, manifest]) => before.shards.get(name) !== manifest);
  if (changed.length === 0) return before;
  const generations = new Map(before.snapshot.generations);
  const domains = new Map(before.snapshot.domains);
  const files = new Map(before.snapshot.files);
  for (const [name, manifest] of changed) {
    generations.set(name, manifest.generation);
    const kept = new Set(manifest.domains.map(({ domain }) => domain));
    for (const { domain } of before.shards.get(name)?.domains ?? []) {
      if (kept.has(domain)) continue;
      domains.delete(domain);
      files.delete(domain);
    }
  }
  for (const [name, manifest] of changed) {
    for (const entry of manifest.domains) {
      const other = files.get(entry.domain);
      // It may have moved; if it stands in both, the whole look says so.
      if (other !== undefined && other !== name) return { shards, snapshot: joinShards(shards) };
      domains.set(entry.domain, entry);
      files.set(entry.domain, name);
    }
  }
  const generation = Math.max(0, ...generations.values());
  return { shards, snapshot: { generation, generations, domains, files } };
}

/**
 * Takes together the shards that can be used, as `KeyringStore.read` and `around` promise.
 *
 * @param broken why another shard cannot be used; undefined: all can
 * @param only of `around`; undefined: all domains matter
 * @throws KeysError `broken`, and as `joinShards`
 */
export function joinSound(
  shards: ReadonlyMap<string, Manifest>,
  broken: KeysError | undefined,
  only: string | undefined,
): KeyringSnapshot {
  if (broken !== undefined && only === undefined) throw broken;
  const snapshot = joinShards(shards);
  if (broken !== undefined && !snapshot.domains.has(only ?? '')) throw broken;
  return snapshot;
}
