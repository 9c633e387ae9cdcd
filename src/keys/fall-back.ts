import { BACKENDS } from './backends.ts';
import { familyOf } from './key-algorithm.ts';
import { KEY_STATE_ROWS } from './key-state.ts';
import type { ManifestDomain, ManifestKey } from './manifest.ts';

/**
 * Fall-back keys: where a key's back end does not answer, another key of its domain may sign, under
 * its own selector. It needs no mark in the manifest: it is the key of the back end that stands in,
 * of the same family, that is `verified`, so its record is known to stand in DNS. Where there are
 * several, the oldest stands in and the others wait to succeed it: a rotation makes one together
 * with the key that it stands in for, and lets both follow in the same write.
 */

/** Is `other` of the kind that signs in place of `main`, whatever its state? */
export function isFallBackOf(main: ManifestKey, other: ManifestKey): boolean {
  return other.backend === BACKENDS[main.backend].fallBack && familyOf(other) === familyOf(main);
}

/**
 * Is a key that never signed kept to stand in for an active one of its domain? Then it is not that
 * one's successor: a rotation would let the domain sign with another back end than was chosen.
 */
export function isFallBack({ keys }: ManifestDomain, key: ManifestKey): boolean {
  return keys.some((main) => KEY_STATE_ROWS[main.state].signs && isFallBackOf(main, key));
}

/** True for a key that only ever stood in for others: it was never active, so nothing goes back to it. */
export function onlyStoodIn({ activatedAt, verifiedAt }: ManifestKey): boolean {
  return activatedAt === undefined && verifiedAt !== undefined;
}

/** The key of a domain that stands in for one of its active ones. */
export function fallBackIn({ keys }: ManifestDomain, main: ManifestKey): ManifestKey | undefined {
  return keys.find((other) => other.state === 'verified' && isFallBackOf(main, other));
}

/** Those that are to follow the one that stands in now, in the order in which they were made. */
export function nextFallBacks(entry: ManifestDomain, main: ManifestKey): readonly ManifestKey[] {
  const current = fallBackIn(entry, main);
  return entry.keys.filter(
    (key) => KEY_STATE_ROWS[key.state].fresh && isFallBackOf(main, key) && key !== current,
  );
}

/** The same for all keys of a domain that sign. */
export function allNextFallBacks(entry: ManifestDomain): readonly ManifestKey[] {
  return entry.keys
    .filter((key) => KEY_STATE_ROWS[key.state].signs)
    .flatMap((main) => nextFallBacks(entry, main));
}

/**
 * Selectors of verified fall-backs that have a newer one beside them, which can stand in for the
 * keys that sign: they have perhaps signed, and are to retire.
 *
 * @param activated selectors of keys that sign from now on
 */
export function succeededFallBacks(
  { keys }: ManifestDomain,
  activated: readonly string[],
): readonly string[] {
  const mains = keys.filter((key) => activated.includes(key.selector));
  return mains.flatMap((main) =>
    keys
      .filter((key) => key.state === 'verified' && isFallBackOf(main, key))
      .slice(0, -1)
      .map((key) => key.selector),
  );
}
