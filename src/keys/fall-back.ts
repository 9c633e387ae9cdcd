import { BACKENDS } from './backends.ts';
import { keyAlgorithmNamed } from './key-algorithm.ts';
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

/** The key of a domain that stands in for one of its active ones. */
export function fallBackIn({ keys }: ManifestDomain, main: ManifestKey): ManifestKey | undefined {
  return keys.find((other) => fallsBackTo(main, other));
}
