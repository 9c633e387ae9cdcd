/** The slice of the configuration that calls to KMS need; see section `kms` of the schema. */
export interface KmsSettings {
  /** The first is home: keys are made there and asked there first. Empty: the SDK's own. */
  readonly regions: readonly string[];
  /** `URL` for every Region, or `region=URL`. */
  readonly endpoints: readonly string[];
  /** ARN of the symmetric key that wraps the keys of `kms-envelope`; may be empty. */
  readonly wrappingKey: string;
  /** Calls to Sign that AWS allows by second. */
  readonly quotas: { readonly rsa: number; readonly ecc: number };
  /** The share of every request quota that this process may take, in per cent. */
  readonly quotaShare: number;
  /** Calls at the same time, those that wait for their turn included. */
  readonly maxWaiting: number;
  readonly attemptTimeoutMs: number;
  readonly totalTimeoutMs: number;
  readonly connections: number;
  /** Calls a day; 0: no bound. */
  readonly budget: number;
  /** A kms-envelope key of the same domain signs where a kms-sign key cannot. */
  readonly fallback: boolean;
  /** Days until a scheduled deletion is final. */
  readonly deletionWindowDays: number;
  /** How often the calls so far are logged. */
  readonly countsLogMs: number;
}

/** What the environment cannot do without; each setting is described in the schema. */
export const DEFAULT_KMS_SETTINGS: KmsSettings = {
  regions: [],
  endpoints: [],
  wrappingKey: '',
  quotas: { rsa: 1000, ecc: 1000 },
  quotaShare: 50,
  maxWaiting: 1000,
  attemptTimeoutMs: 12_000,
  totalTimeoutMs: 30_000,
  connections: 256,
  budget: 0,
  fallback: false,
  deletionWindowDays: 30,
  countsLogMs: 3_600_000,
};

/** The endpoint of a Region; undefined: AWS's own. */
export function endpointFor(region: string, endpoints: readonly string[]): string | undefined {
  const own = endpoints.find((entry) => entry.startsWith(`${region}=`));
  if (own !== undefined) return own.slice(region.length + 1);
  return endpoints.find((entry) => /^https?:/.test(entry));
}
