import { joinShards, type KeyringSnapshot, type ShardLook } from '../keyring-store.ts';
import { KeysError } from '../keys-error.ts';
import type { Manifest, ManifestDomain } from '../manifest.ts';

/**
 * How a relay takes a changed keyring over: shard by shard. A shard that is lost, damaged or went
 * back in time keeps its old content, since it must not stop what can be signed now; the others are
 * taken, since a revocation must get through whatever is wrong elsewhere (decision 015). What the
 * operator wrote into a manifest counts, of course.
 */

/** The shards in force: name to content. */
export type Shards = ReadonlyMap<string, Manifest>;

export interface Merge {
  readonly shards: Shards;
  readonly snapshot: KeyringSnapshot;
  /** Shards that were read and are in force as they were read. */
  readonly confirmed: ReadonlySet<string>;
  /** Why the others keep their old content. */
  readonly complaints: readonly KeysError[];
}

/** Domains that a message names; the rest is counted. */
const MAX_NAMED = 5;

/**
 * Takes over what a look found.
 *
 * @param before what is in force
 * @param seen the highest generation that each shard ever had here; none comes back with a lower one
 * @param looks what the store shows now
 */
export function mergeShards(
  before: Shards,
  seen: ReadonlyMap<string, number>,
  looks: readonly ShardLook[],
): Merge {
  const complaints: KeysError[] = [];
  const taken = new Map<string, Manifest>();
  /** Old content that stays; what stands elsewhere by now is taken out of it. */
  const kept = new Map<string, Manifest>();
  const keep = (name: string, complaint: KeysError) => {
    complaints.push(complaint);
    const old = before.get(name);
    if (old !== undefined) kept.set(name, old);
  };
  for (const look of looks) {
    const older = look.kind === 'read' ? seen.get(look.name) : undefined;
    if (look.kind === 'broken') keep(look.name, look.error);
    else if (older !== undefined && look.manifest.generation < older) {
      keep(look.name, outdated(look.name, look.manifest.generation, older));
    } else taken.set(look.name, look.manifest);
  }
  for (const [name, complaint] of clashes(taken, before)) {
    taken.delete(name);
    keep(name, complaint);
  }
  const shards = new Map(taken);
  const owned = ownersOf(taken);
  for (const [name, manifest] of kept) addRest(shards, owned, name, manifest);
  keepLost(before, looks, shards, owned, complaints);
  refuseEmptied(before, shards, complaints);
  const sorted = new Map([...shards].sort(([one], [other]) => (one < other ? -1 : 1)));
  const confirmed = new Set(
    [...taken].flatMap(([name, manifest]) => (shards.get(name) === manifest ? [name] : [])),
  );
  return { shards: sorted, snapshot: joinShards(sorted), confirmed, complaints };
}

/** True when both hold the very same domains in the same shards at the same generations. */
export function isUnchanged(before: Shards, { shards, snapshot }: Merge, old: KeyringSnapshot) {
  if (before.size !== shards.size) return false;
  if ([...shards].every(([name, manifest]) => before.get(name) === manifest)) return true;
  if (old.domains.size !== snapshot.domains.size) return false;
  const sameGenerations = [...snapshot.generations].every(
    ([name, generation]) => old.generations.get(name) === generation,
  );
  return (
    sameGenerations &&
    [...snapshot.domains].every(([domain, entry]) => old.domains.get(domain) === entry)
  );
}

/** A domain that stands in two shards: what changed last is not taken, and says so. */
function clashes(
  taken: ReadonlyMap<string, Manifest>,
  before: Shards,
): ReadonlyMap<string, KeysError> {
  const found = new Map<string, KeysError>();
  const owners = new Map<string, string>();
  const isOld = (name: string) => before.get(name) === taken.get(name);
  const order = [...taken].sort(([one], [other]) => Number(isOld(other)) - Number(isOld(one)));
  for (const [name, { domains }] of order) {
    const twice = domains.find(({ domain }) => owners.has(domain));
    if (twice === undefined) {
      for (const { domain } of domains) owners.set(domain, name);
      continue;
    }
    const { domain } = twice;
    const message = `${name}: domains.${JSON.stringify(domain)} stands in ${owners.get(domain)} too`;
    found.set(
      name,
      new KeysError('manifest-invalid', message, { hint: 'keep one of the two entries' }),
    );
  }
  return found;
}

/** A shard that is gone would take its domains with it: their mail would bounce, or leave unsigned. */
function keepLost(
  before: Shards,
  looks: readonly ShardLook[],
  shards: Map<string, Manifest>,
  owned: Set<string>,
  complaints: KeysError[],
): void {
  const present = new Set(looks.map(({ name }) => name));
  for (const [name, manifest] of before) {
    if (present.has(name)) continue;
    const lost = manifest.domains.filter(({ domain }) => !owned.has(domain));
    if (lost.length === 0) continue;
    const message = `${name} is gone from the keyring, and with it ${listed(lost)}`;
    complaints.push(
      new KeysError('keyring-shrunk', message, {
        hint: 'put it back; if the domains are to go, take them out of the manifest and leave the file, or restart the relay',
      }),
    );
    addRest(shards, owned, name, manifest);
  }
}

function refuseEmptied(
  before: Shards,
  shards: Map<string, Manifest>,
  complaints: KeysError[],
): void {
  const domains = [...before.values()].flatMap((manifest) => manifest.domains);
  if (domains.length === 0 || [...shards.values()].some((one) => one.domains.length > 0)) return;
  const message = `the keyring has no domain any more; it had ${listed(domains)}`;
  complaints.push(
    new KeysError('keyring-shrunk', message, {
      hint: 'restore the manifest; if the domains are to go, restart the relay',
    }),
  );
  for (const [name, manifest] of before) shards.set(name, manifest);
}

function addRest(
  shards: Map<string, Manifest>,
  owned: Set<string>,
  name: string,
  manifest: Manifest,
): void {
  const domains = manifest.domains.filter(({ domain }) => !owned.has(domain));
  const isWhole = domains.length === manifest.domains.length;
  shards.set(name, isWhole ? manifest : { ...manifest, domains });
  for (const { domain } of domains) owned.add(domain);
}

function ownersOf(shards: ReadonlyMap<string, Manifest>): Set<string> {
  const owned = new Set<string>();
  for (const { domains } of shards.values()) for (const { domain } of domains) owned.add(domain);
  return owned;
}

/** A manifest that went back in time would bring revoked keys back to life. */
function outdated(name: string, found: number, seen: number): KeysError {
  const message = `${name}: generation ${found} is older than ${seen}, which is in force`;
  return new KeysError('keyring-outdated', message, {
    hint: 'an old copy of the keyring was put in place? if that is meant, restart the relay',
  });
}

function listed(entries: readonly ManifestDomain[]): string {
  const more = entries.length - MAX_NAMED;
  const named = entries.slice(0, MAX_NAMED).map(({ domain }) => domain);
  return more > 0 ? `${named.join(', ')} and ${more} more` : named.join(', ');
}
