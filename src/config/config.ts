/**
 * The configuration as every other part sees it: plain values, checked, defaults filled in. Parts
 * take the slice that they need. The meaning of each setting is written once, in the schema.
 */
export interface Config {
  readonly server: { readonly name: string };
  /** `host:port` or `[v6]:port`; see `parseEndpoint`. */
  readonly listen: readonly string[];
  readonly clients: {
    readonly allow: readonly string[];
    readonly usersFile: string;
    readonly certificateNames: readonly string[];
  };
  readonly tls: {
    readonly certFile: string;
    readonly keyFile: string;
    readonly clientCaFile: string;
    readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  };
  readonly limits: {
    readonly sessions: number;
    readonly sessionsPerClient: number;
    readonly messageBytes: number;
    readonly headerBytes: number;
    readonly recipients: number;
    readonly hops: number;
    readonly idleMs: number;
    readonly authFailures: number;
    readonly protocolErrors: number;
  };
  readonly content: {
    readonly strayLineEnds: 'fix' | 'refuse';
    readonly longLines: 'pass' | 'refuse';
    readonly addDate: boolean;
    readonly addMessageId: boolean;
  };
  readonly received: { readonly hideClient: boolean };
  readonly dns: {
    readonly servers: readonly string[];
    readonly timeoutMs: number;
    readonly attempts: number;
    readonly cacheEntries: number;
    readonly maxTtlS: number;
    readonly maxNegativeTtlS: number;
    readonly hints: readonly DnsHintConfig[];
  };
  readonly relay: {
    readonly ehloName: string;
    readonly sourceAddress: { readonly ipv4: string; readonly ipv6: string };
    readonly port: number;
    readonly allowPrivate: boolean;
    readonly allowAddressLiterals: boolean;
    readonly deadHostMs: number;
    readonly keepConnectionMs: number;
    readonly tls: TlsSetting;
    readonly caFile: string;
    readonly connectTimeoutMs: number;
    readonly greetingTimeoutMs: number;
    readonly rcptBudgetMs: number;
    readonly dataBudgetMs: number;
    readonly finalDotBudgetMs: number;
  };
  readonly route: readonly RouteSetting[];
  readonly smarthost: SmarthostSetting | null;
  readonly signing: {
    /** `refuse`, `unsigned` or `fallback:<domain>`. */
    readonly unmatched: UnmatchedSetting;
    readonly unmatchedNullSender: UnmatchedSetting;
    readonly canonicalization: CanonicalizationSetting;
    readonly expireAfterS: number;
    readonly identity: boolean;
    readonly alsoSignAs: readonly string[];
    readonly headers: {
      readonly alwaysOversigned: readonly string[];
      readonly oversignedIfPresent: readonly string[];
      readonly signedIfPresent: readonly string[];
    };
  };
  readonly publishers: readonly PublisherConfig[];
  readonly keys: {
    readonly dir: string;
    readonly masterKeyFile: string;
    readonly watchMs: number;
    readonly maxStaleMs: number;
    readonly recheckMs: number;
    readonly store: StoreSetting;
    readonly rotation: RotationSetting;
  };
  /** AWS KMS; `KmsSettings` in `keys/kms/`. */
  readonly kms: {
    readonly regions: readonly string[];
    /** `URL` for every Region, or `region=URL`. */
    readonly endpoints: readonly string[];
    /** ARN, or empty. */
    readonly wrappingKey: string;
    /** Calls to Sign by second. */
    readonly quotas: { readonly rsaPerSecond: number; readonly eccPerSecond: number };
    /** Per cent. */
    readonly quotaShare: number;
    readonly maxWaiting: number;
    readonly attemptTimeoutMs: number;
    readonly totalTimeoutMs: number;
    readonly connections: number;
    /** Calls a day; 0: no bound. */
    readonly budget: number;
    readonly fallback: boolean;
    readonly deletionWindowDays: number;
    readonly countsLogMs: number;
  };
  readonly spool: {
    readonly dir: string;
    readonly messageMemoryBytes: number;
    readonly memoryBytes: number;
    readonly diskBytes: number;
    readonly waitMs: number;
  };
  readonly drain: { readonly timeoutMs: number };
  readonly log: {
    readonly level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
    readonly format: 'auto' | 'json' | 'pretty';
  };
}

/** Where the keyring is kept. */
export interface StoreSetting {
  readonly kind: 'file' | 'kubernetes' | 's3';
  readonly kubernetes: {
    readonly server: string;
    readonly namespace: string;
    readonly name: string;
    readonly tokenFile: string;
    readonly caFile: string;
  };
  readonly s3: {
    readonly bucket: string;
    readonly prefix: string;
    readonly region: string;
    readonly endpoint: string;
  };
  readonly timeoutMs: number;
  readonly domainsPerShard: number;
}

export type TlsSetting = 'none' | 'opportunistic' | 'encrypt' | 'verify';

export type UnmatchedSetting = 'refuse' | 'unsigned' | `fallback:${string}`;

export type CanonicalizationSetting =
  | 'relaxed/relaxed'
  | 'relaxed/simple'
  | 'simple/relaxed'
  | 'simple/simple';

/** AUTH towards a host; the password stands in a file and never in the configuration. */
export interface CredentialsSetting {
  readonly user: string;
  readonly passwordFile: string;
}

/** Fixed hosts for all mail. */
export interface SmarthostSetting {
  /** Host names or IP addresses, tried in this order; at least one. */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly tls: TlsSetting;
  readonly credentials: CredentialsSetting | undefined;
}

/** Fixed hosts for some recipient domains. */
export interface RouteSetting extends SmarthostSetting {
  /** A-labels in lower case: `example.com` (exactly it), `.example.com` (all its subdomains). */
  readonly domains: readonly string[];
}

/** Who writes the key records of some domains; `PublisherSetting` in `keys/dns/`. */
export interface PublisherConfig {
  readonly domains: readonly string[];
  readonly kind: 'print' | 'rfc2136' | 'route53';
  readonly server?: string;
  readonly keyName?: string;
  readonly keyFile?: string;
  readonly zone?: string;
  readonly hostedZoneId?: string;
  readonly region?: string;
  readonly endpoint?: string;
  readonly slotsUnder?: string;
}

/** Servers of a zone, `.` for the root. */
export interface DnsHintConfig {
  readonly zone: string;
  readonly servers: readonly string[];
}

/** The times and habits of keys; see `keys.rotation` in the schema. */
export interface RotationHabits {
  readonly rotateAfterDays: number;
  readonly retireAfterDays: number;
  readonly removeAfterDays: number;
  readonly queueLifetimeDays: number;
  readonly authLagMs: number;
  readonly standby: boolean;
  readonly names: 'dated' | 'slots';
}

export interface RotationSetting extends RotationHabits {
  /** Where private keys are published after their revocation; empty: nowhere. */
  readonly reveal: string;
  /** Other habits for some domains. */
  readonly domains: readonly RotationOverride[];
}

export interface RotationOverride extends Partial<RotationHabits> {
  /** A-labels in lower case: `example.com` (exactly it), `.example.com` (all its subdomains). */
  readonly domains: readonly string[];
}
