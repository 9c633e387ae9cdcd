import type { StoredKey } from './backend.ts';
import type { ManifestKey } from './manifest.ts';

/** A key of a domain's entry, as its back end is told of it. */
export function storedKey(
  domain: string,
  { selector, algorithm, publicKey, material }: ManifestKey,
): StoredKey {
  return { domain, selector, algorithm, publicKey, material };
}
