import type { BackendName } from '../backend-names.ts';
import { BACKENDS } from '../backends.ts';
import type { KeyAlgorithm } from '../key-algorithm.ts';
import { familyOf } from '../key-algorithm.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { activeKeys } from './key-changes.ts';

/**
 * Where a new key is made, if nobody says where: as the key that it succeeds. Somebody chose those
 * Regions (data may have to stay in one, or must outlive one), and a rotation changes nothing but
 * the key. The first Region stays home.
 *
 * @param configured `kms.regions`; a Region that is none of them any more is left out. Empty: any
 * @returns undefined: as configured
 */
export function newKeyRegions(
  entry: ManifestDomain,
  algorithm: KeyAlgorithm,
  backend: BackendName,
  configured: readonly string[],
): readonly string[] | undefined {
  const { regionsOf } = BACKENDS[backend];
  if (regionsOf === undefined) return undefined;
  const before = predecessor(entry, algorithm, backend);
  const regions = regionsOf(before?.material).filter(
    (region) => configured.length === 0 || configured.includes(region),
  );
  return regions.length > 0 ? regions : undefined;
}

/** The active key of the family, else another active one of the back end, else the last. */
function predecessor(
  entry: ManifestDomain,
  { family }: KeyAlgorithm,
  backend: BackendName,
): ManifestKey | undefined {
  const isThere = (key: ManifestKey) => key.backend === backend;
  const active = activeKeys(entry).filter(isThere);
  const isOfFamily = (key: ManifestKey) => familyOf(key) === family;
  const all = entry.keys.filter(isThere);
  return active.find(isOfFamily) ?? active[0] ?? all.findLast(isOfFamily) ?? all.at(-1);
}

/** For people: that new keys are not in all configured Regions, and what to do; empty where they are. */
export function regionNotes(
  keys: readonly ManifestKey[],
  configured: readonly string[],
): readonly string[] {
  return keys.flatMap(({ selector, backend, material }) => {
    const regions = BACKENDS[backend].regionsOf?.(material) ?? [];
    const others = configured.filter((region) => !regions.includes(region));
    if (regions.length === 0 || others.length === 0) return [];
    return [
      `${selector} is in ${regions.join(', ')}, as the keys before; kms.regions has ${others.join(', ')} too, and --regions takes another choice`,
    ];
  });
}
