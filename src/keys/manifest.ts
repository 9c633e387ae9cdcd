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

/** Texts by which a back end finds a private half again; each row of `backends.ts` knows its own. */
export type KeyMaterial = Readonly<Record<string, string>>;

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
  /** When a relay signed with it last in place of its successor, as far as a command has heard. */
  readonly stoodInAt?: string | undefined;
  /** When its record was handed to a publisher, or to a person. */
  readonly publishedAt?: string | undefined;
  /** When its record was seen on all authoritative servers. */
  readonly verifiedAt?: string | undefined;
  /** Until then caches may hold an older answer than the one that was seen at `verifiedAt`. */
  readonly settledAt?: string | undefined;
  /** When it was withdrawn: from then on its record has an empty `p=`. */
  readonly revokedAt?: string | undefined;
  /** When its private half was given up. */
  readonly destroyedAt?: string | undefined;
  /** Name of the publisher that wrote its record; `print`: a person did. */
  readonly publisher?: string | undefined;
  /** The journal's id of its making; one intent makes one key. */
  readonly intent?: string | undefined;
  /** Where the back end keeps it; undefined where domain and selector say that. */
  readonly material?: KeyMaterial | undefined;
}

/** Who changes a domain now. A lease that has run out counts for nothing. */
export interface DomainLease {
  readonly holder: string;
  /** Rises with each lease of the domain (fencing number). */
  readonly fence: number;
  /** UTC, ISO 8601. */
  readonly until: string;
}

/** A signing domain. */
export interface ManifestDomain {
  /** A-labels, lower case. */
  readonly domain: string;
  /** True: signs for subdomains that have no entry of their own. */
  readonly subdomains: boolean;
  readonly keys: readonly ManifestKey[];
  readonly lease?: DomainLease | undefined;
  /** Since when a rotation is under way: until its keys are active. UTC, ISO 8601. */
  readonly rotatingSince?: string | undefined;
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
