import { KEY_STATE_ROWS } from '../key-state.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';

/** Pure edits of a domain's entry, and questions about it. */

/** Keys that sign. */
export function activeKeys(entry: ManifestDomain): readonly ManifestKey[] {
  return entry.keys.filter((key) => KEY_STATE_ROWS[key.state].signs);
}

/** Keys that were never active and still may become so, in the order in which they were made. */
export function freshKeys(entry: ManifestDomain): readonly ManifestKey[] {
  return entry.keys.filter(
    (key) => KEY_STATE_ROWS[key.state].fresh && key.activatedAt === undefined,
  );
}

/** A copy in which some keys are changed. */
export function withKeys(
  entry: ManifestDomain,
  selectors: readonly string[],
  change: (key: ManifestKey) => Partial<ManifestKey>,
): ManifestDomain {
  const keys = entry.keys.map((key) =>
    selectors.includes(key.selector) ? { ...key, ...change(key) } : key,
  );
  return { ...entry, keys };
}

/** A copy in which some keys retire from now on. */
export function withRetiring(
  entry: ManifestDomain,
  selectors: readonly string[],
  wallMs: number,
): ManifestDomain {
  const retiringSince = isoTime(wallMs);
  return withKeys(entry, selectors, () => ({ state: 'retiring', retiringSince }));
}

export function isoTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

/** Milliseconds since the epoch; undefined stays. */
export function timeOf(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time);
}
