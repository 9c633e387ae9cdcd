import type { BackendName } from './backend-names.ts';
import type { KeyState } from './key-state.ts';

/**
 * The keyring manifest as values. On disk it is one YAML file or several (`manifest-yaml.ts`):
 *
 *     version: 1
 *     generation: 7
 *     domains:
 *       example.com:
 *         subdomains: false
 *         keys:
 *           - selector: wx202611r1
 *             algorithm: rsa2048
 *             backend: file
 *             state: active
 *             publicKey: MIIBIjANBgkq…   # as in p= of the key record
 *             ttlS: 3600
 *             createdAt: 2026-11-21T09:00:00.000Z
 *             activatedAt: 2026-11-21T10:00:00.000Z
 */

/** One key of a domain. Its private half is with the back end. */
export interface ManifestKey {
  /** Unique in its domain for ever: keys of any state keep theirs. */
  readonly selector: string;
  /** Name of a row of `key-algorithm.ts`. */
  readonly algorithm: string;
  /** Name of a row of `backends.ts`. */
  readonly backend: BackendName;
  readonly state: KeyState;
  /** The value of `p=` in the key record. */
  readonly publicKey: string;
  /** TTL of the key record in seconds. */
  readonly ttlS: number;
  /** UTC, ISO 8601. */
  readonly createdAt: string;
  /** When it was activated last. */
  readonly activatedAt: string | undefined;
  /** When its successor was activated; undefined unless retiring or later. */
  readonly retiringSince: string | undefined;
}

/** A signing domain. */
export interface ManifestDomain {
  /** A-labels, lower case. */
  readonly domain: string;
  /** True: signs for subdomains that have no entry of their own. */
  readonly subdomains: boolean;
  readonly keys: readonly ManifestKey[];
}

/** The content of one manifest file. */
export interface Manifest {
  /** Rises with every write to the keyring. */
  readonly generation: number;
  readonly domains: readonly ManifestDomain[];
}

export const MANIFEST_VERSION = 1;
/** Default TTL of a key record in seconds, and the most that is allowed (one day). */
export const DEFAULT_TTL_S = 3600;
export const MAX_TTL_S = 86_400;
/** Resolvers ask again and again below this. */
export const MIN_TTL_S = 30;
