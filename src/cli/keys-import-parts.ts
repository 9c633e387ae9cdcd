import { getServers } from 'node:dns';
import { type Clock, systemClock } from '../base/clock.ts';
import { StubResolver } from '../base/resolver.ts';
import type { ImportJournal } from '../keys/import/adopt-record.ts';
import { describeKmsKeyForImport } from '../keys/import/describe-kms-key.ts';
import type { DescribeKmsKey } from '../keys/import/kms-key-facts.ts';
import { authoritativeRecords, type StandingRecords } from '../keys/import/standing-record.ts';
import { Kms } from '../keys/kms/kms.ts';
import type { KmsSettings } from '../keys/kms/kms-settings.ts';

/** The slice of the configuration that these need. */
interface ImportSettings {
  readonly dns: {
    readonly servers: readonly string[];
    readonly timeoutMs: number;
    readonly attempts: number;
  };
  readonly kms?: KmsSettings;
}

/** What `keys import` uses besides the others; without one, what needs it is refused. */
export interface KeysImportParts {
  /** Asks the zone's own servers for the record that stands at a name. */
  openStanding?(settings: ImportSettings): { readonly records: StandingRecords; close(): void };
  openJournal?(settings: ImportSettings): ImportJournal;
  /** undefined where KMS is not configured. */
  openKmsKeys?(settings: ImportSettings): OpenKmsKeys | undefined;
}

/** The way to AWS KMS that an import by ARN needs. */
export interface OpenKmsKeys {
  readonly describe: DescribeKmsKey;
  /** Where relays may ask; empty: any. */
  readonly regions: readonly string[];
  close(): Promise<void>;
}

/** The machine's own. */
export const SYSTEM_IMPORT_PARTS: KeysImportParts = {
  openStanding: ({ dns }) => standingAt(dns, systemClock),
  openKmsKeys: ({ kms: settings }) => {
    if (settings === undefined) return undefined;
    const quiet = { warning: () => undefined, kmsCalls: () => undefined };
    const kms = new Kms(settings, { clock: systemClock, log: quiet });
    const describe = (arn: string) => describeKmsKeyForImport(kms, arn);
    return { describe, regions: settings.regions, close: () => kms.close() };
  },
};

function standingAt(dns: ImportSettings['dns'], clock: Clock) {
  const { timeoutMs, attempts } = dns;
  const resolver = new StubResolver({
    servers: dns.servers.length > 0 ? dns.servers : getServers(),
    timeoutMs,
    attempts,
    cacheEntries: 100,
    maxTtlS: 60, // one run asks each name once
    maxNegativeTtlS: 60,
    clock,
  });
  const records = authoritativeRecords({ resolver, clock, timeoutMs, attempts });
  return { records, close: () => resolver.close() };
}
