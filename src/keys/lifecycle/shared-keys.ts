import type { KeyringSnapshot, KeyringStore } from '../keyring-store.ts';
import type { ManifestKey } from '../manifest.ts';
import { liveSharersOf, placeOf } from '../shared-keys.ts';

/**
 * Which private keys several domains use, for a run that gives keys up. A key that its back end
 * keeps for each domain apart is shared with nobody.
 *
 * @returns true for a key that another domain uses and that is not destroyed there
 */
export function sharedKeys(
  snapshot: Pick<KeyringSnapshot, 'domains'>,
): (domain: string, key: ManifestKey) => boolean {
  const users = new Map<string, Set<string>>();
  for (const { domain, keys } of snapshot.domains.values()) {
    for (const key of keys) {
      const name = placeOf(key);
      if (name === undefined || key.state === 'destroyed') continue;
      const others = users.get(name) ?? new Set();
      users.set(name, others.add(domain));
    }
  }
  return (domain, key) => {
    const others = users.get(placeOf(key) ?? '');
    if (others === undefined) return false;
    // Whoever asks is about to give it up, so the last one of this run finds nobody else.
    others.delete(domain);
    return others.size > 0;
  };
}

/** True where another domain is to sign, or signs, with the very same private key: as it stands now. */
export async function isNeededElsewhere(
  store: Pick<KeyringStore, 'read'>,
  domain: string,
  key: ManifestKey,
): Promise<boolean> {
  const place = placeOf(key);
  if (place === undefined) return false;
  return liveSharersOf(await store.read(), domain, key).some(
    (sharer) => placeOf(sharer.key) === place,
  );
}
