/**
 * Where mail for a recipient domain goes: values that `route.ts` makes and `leg.ts` uses.
 * A *destination* is one recipient domain's MXs, a configured route, or the smarthost.
 */

/**
 * How far TLS to a host must go. `opportunistic`: tried, certificate not verified, plain text if it
 * fails (RFC 7435); `encrypt`: required, certificate not verified; `verify`: required, and the
 * certificate must match the host name; `none`: never tried.
 */
export type TlsLevel = 'none' | 'opportunistic' | 'encrypt' | 'verify';

/** AUTH towards a route's host. Never logged. */
export interface RelayCredentials {
  readonly user: string;
  readonly password: string;
}

export interface Destination {
  /** Same key, same leg: `mx:example.com`, `route:NAME`, `smarthost`. */
  readonly key: string;
  /** Recipient domain (A-labels); for a smarthost or a route the first domain that led to it. */
  readonly domain: string;
  /** Fixed hosts of a route or smarthost, tried in this order; undefined: look up MX. */
  readonly hosts: readonly string[] | undefined;
  readonly port: number;
  readonly tls: TlsLevel;
  readonly credentials: RelayCredentials | undefined;
}

/** One host to try, with its addresses, checked against `relay.allowPrivate`. */
export interface Candidate {
  /** MX host name as A-labels, or the literal of a route; also the SNI name. */
  readonly host: string;
  /** IP addresses in the order in which they are to be raced (RFC 8305 section 4). */
  readonly addresses: readonly string[];
}
