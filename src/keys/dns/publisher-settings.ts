import { KeysError } from '../keys-error.ts';

/** One row of the section `publishers` of the configuration. */
export interface PublisherSetting {
  /** A-labels in lower case: `example.com` (exactly it), `.example.com` (its subdomains), `*`. */
  readonly domains: readonly string[];
  readonly kind: 'print' | 'rfc2136' | 'route53';
  /** rfc2136: `ip`, `ip:port` or `[v6]:port` of the primary. */
  readonly server?: string | undefined;
  /** rfc2136: name of the TSIG key. */
  readonly keyName?: string | undefined;
  /** rfc2136: file with its secret. */
  readonly keyFile?: string | undefined;
  /** rfc2136: the zone; the server is asked where there is none. */
  readonly zone?: string | undefined;
  readonly hostedZoneId?: string | undefined;
  /** route53: Region of the API; us-east-1 by default. */
  readonly region?: string | undefined;
  /** route53: another endpoint than AWS's. */
  readonly endpoint?: string | undefined;
  /**
   * The domains point at our records by CNAME, once for ever: `SLOT._domainkey.DOMAIN` at
   * `SLOT.DOMAIN.SLOTSUNDER`. Records are written there.
   */
  readonly slotsUnder?: string | undefined;
}

/**
 * The row of a domain: one that names it counts before a suffix, a longer suffix before a shorter,
 * and `*` last.
 */
export function settingFor(
  domain: string,
  settings: readonly PublisherSetting[],
): PublisherSetting | undefined {
  let best: PublisherSetting | undefined;
  let bestRank = -1;
  for (const setting of settings) {
    for (const pattern of setting.domains) {
      const rank = rankOf(pattern, domain);
      if (rank > bestRank) [best, bestRank] = [setting, rank];
    }
  }
  return best;
}

const EXACT = 1000;

function rankOf(pattern: string, domain: string): number {
  if (pattern === domain) return EXACT;
  if (pattern === '*') return 0;
  return pattern.startsWith('.') && domain.endsWith(pattern) ? pattern.length : -1;
}

/** The configuration checks this, too; here it is said of settings made by a program. */
export function incompleteSetting(kind: string, what: string): KeysError {
  return new KeysError('key-publisher-setting', `a publisher of kind ${kind} needs ${what}`, {
    hint: 'see "publishers" in the configuration',
  });
}
