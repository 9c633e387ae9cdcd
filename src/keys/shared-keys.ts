import { KEY_STATE_ROWS } from './key-state.ts';
import type { KeyringSnapshot } from './keyring-store.ts';
import type { ManifestKey } from './manifest.ts';

/**
 * One private key may serve several domains: their entries hold the same public key, and that is
 * all there is to it (docs/decisions). Each is a key of its own domain, with its own record, state
 * and, where the back end keeps copies, its own copy.
 */

/** A key of another domain that is the same private key. */
export interface Sharer {
  readonly domain: string;
  readonly key: ManifestKey;
}

/** The keys of other domains that are the same private key as this one, destroyed ones left out. */
export function sharersOf(
  snapshot: Pick<KeyringSnapshot, 'domains'>,
  domain: string,
  key: Pick<ManifestKey, 'publicKey'>,
): readonly Sharer[] {
  return [...snapshot.domains.values()]
    .filter((entry) => entry.domain !== domain)
    .flatMap((entry) => entry.keys.map((other) => ({ domain: entry.domain, key: other })))
    .filter(({ key: other }) => other.publicKey === key.publicKey && other.state !== 'destroyed');
}

/**
 * Where the back end has this private half, for comparing; undefined where it keeps a copy for each
 * domain. The replicas of a multi-Region key in KMS are one key.
 */
export function placeOf({ backend, publicKey, material }: ManifestKey): string | undefined {
  if (material === undefined) return undefined;
  const reference = material.arn?.replace(/^.*\//, '') ?? Object.entries(material).sort();
  return JSON.stringify([backend, publicKey, reference]);
}

/** The sharers whose record still has the key: a verifier would take signatures by it. */
export function liveSharersOf(
  snapshot: Pick<KeyringSnapshot, 'domains'>,
  domain: string,
  key: Pick<ManifestKey, 'publicKey'>,
): readonly Sharer[] {
  return sharersOf(snapshot, domain, key).filter(
    ({ key: other }) => KEY_STATE_ROWS[other.state].record === 'key',
  );
}
