import { BACKENDS } from './backends.ts';
import { keyAlgorithmNamed } from './key-algorithm.ts';
import { KEY_STATE_ROWS } from './key-state.ts';
import type { ManifestDomain, ManifestKey } from './manifest.ts';

/**
 * Fall-back keys: where a key's back end does not answer, another key of its domain may sign, under
 * its own selector. It needs no mark in the manifest: it is the key of the back end that stands in,
 * of the same family, that is `verified`, so its record is known to stand in DNS.
 */

/** May `other` sign in place of `main`? */
function fallsBackTo(main: ManifestKey, other: ManifestKey): boolean {
  const family = (key: ManifestKey) => keyAlgorithmNamed(key.algorithm)?.family;
  return (
    other.state === 'verified' &&
    other.backend === BACKENDS[main.backend].fallBack &&
    family(other) === family(main)
  );
}

/**
 * Is a key that never signed kept to stand in for an active one of its domain? Then it is not that
 * one's successor: a rotation would let the domain sign with another back end than was chosen.
 */
export function isFallBack({ keys }: ManifestDomain, key: ManifestKey): boolean {
  return keys.some(
    (main) => KEY_STATE_ROWS[main.state].signs && fallsBackTo(main, { ...key, state: 'verified' }),
  );
}

/** The key of a domain that stands in for one of its active ones. */
export function fallBackIn({ keys }: ManifestDomain, main: ManifestKey): ManifestKey | undefined {
  return keys.find((other) => fallsBackTo(main, other));
}
