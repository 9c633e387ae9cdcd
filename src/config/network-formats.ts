import { isIP, isIPv4, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';
import { type Format, scalarFormat } from './format.ts';

/** A TCP or UDP endpoint. */
export interface Endpoint {
  /** IP address without brackets, or a host name. */
  readonly host: string;
  readonly port: number;
}

/** The same as text, an IPv6 address in brackets. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * Reads `host:port` or `[v6]:port`.
 *
 * @param defaultPort taken when only a host is written; without it the port is required
 * @returns undefined when the text is neither
 */
export function parseEndpoint(written: string, defaultPort?: number): Endpoint | undefined {
  if (defaultPort !== undefined && isIP(written) !== 0) return { host: written, port: defaultPort };
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(written);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || port === undefined || port > 65_535) return undefined;
  if (match?.[1] !== undefined && !isIPv6(host)) return undefined;
  return isIP(host) !== 0 || isHostName(host) ? { host, port } : undefined;
}

/**
 * A domain in lower case and as A-labels (RFC 5891), without a trailing dot.
 *
 * @returns undefined when it is no domain name of letters, digits and hyphens
 */
export function toDomain(written: string): string | undefined {
  // What would end the host in a URL would be cut off in silence.
  if (/[\s/?#@:\\%]/.test(written)) return undefined;
  const ascii = domainToASCII(written.replace(/\.$/, '')).toLowerCase();
  return isHostName(ascii) ? ascii : undefined;
}

/** True when the name has two labels or more and is no IP address (RFC 5321 section 2.3.5). */
export function isFullyQualified(name: string): boolean {
  return isHostName(name) && name.includes('.');
}

/** A host name by RFC 1123 section 2.1; one label will do. */
function isHostName(name: string): boolean {
  const labels = name.split('.');
  return (
    name.length <= 253 &&
    isIP(name) === 0 &&
    labels.every((label) => /^(?!-)[A-Za-z0-9_-]{1,63}$/.test(label) && !label.endsWith('-')) &&
    !/^\d+$/.test(labels.at(-1) ?? '')
  );
}

/** A name for the greeting or EHLO; empty means a derived default. */
export const hostNameOrEmpty: Format = scalarFormat({
  name: 'host name or empty',
  description: 'fully qualified host name, or empty',
  check: (value) =>
    typeof value === 'string' && (value === '' || toDomain(value) !== undefined)
      ? undefined
      : 'must be a host name',
  normalize: (value) => (value === '' ? '' : (toDomain(String(value)) ?? value)),
});

export const domain: Format = scalarFormat({
  name: 'domain',
  description: 'domain name',
  check: (value) =>
    typeof value === 'string' && isFullyQualified(toDomain(value) ?? '')
      ? undefined
      : 'must be a domain name such as example.com',
  normalize: (value) => toDomain(String(value)) ?? value,
});

export const listenEndpoint: Format = scalarFormat({
  name: 'listen endpoint',
  description: '`host:port` or `[v6]:port`',
  check: (value) =>
    typeof value === 'string' && parseEndpoint(value) !== undefined
      ? undefined
      : 'must be host:port or [v6]:port, such as 127.0.0.1:2525',
});

export const dnsServer: Format = scalarFormat({
  name: 'DNS server',
  description: 'IP address, `ip:port` or `[v6]:port`',
  check: (value) => {
    const endpoint = typeof value === 'string' ? parseEndpoint(value, 53) : undefined;
    return endpoint !== undefined && isIP(endpoint.host) !== 0
      ? undefined
      : 'must be an IP address, perhaps with a port: 192.0.2.53, 192.0.2.53:5353, [2001:db8::53]:53';
  },
});

export const ipv4OrEmpty: Format = scalarFormat({
  name: 'IPv4 address or empty',
  description: 'IPv4 address of this machine, or empty',
  check: (value) =>
    value === '' || (typeof value === 'string' && isIPv4(value))
      ? undefined
      : 'must be an IPv4 address',
});

export const ipv6OrEmpty: Format = scalarFormat({
  name: 'IPv6 address or empty',
  description: 'IPv6 address of this machine, or empty',
  check: (value) =>
    value === '' || (typeof value === 'string' && isIPv6(value))
      ? undefined
      : 'must be an IPv6 address',
});

/** A network in CIDR notation. */
export interface Network {
  readonly family: 'ipv4' | 'ipv6';
  readonly address: string;
  readonly prefixLength: number;
}

/** Reads `192.0.2.0/24`, `2001:db8::/32` or a single address. */
export function parseNetwork(written: string): Network | undefined {
  const match = /^([0-9A-Fa-f:.]+)(?:\/(\d{1,3}))?$/.exec(written);
  const address = match?.[1] ?? '';
  const version = isIP(address);
  if (version === 0) return undefined;
  const bits = version === 4 ? 32 : 128;
  const prefixLength = match?.[2] === undefined ? bits : Number(match[2]);
  if (prefixLength > bits) return undefined;
  return { family: version === 4 ? 'ipv4' : 'ipv6', address, prefixLength };
}

export const network: Format = scalarFormat({
  name: 'network',
  description: 'IP address or network (`192.0.2.0/24`, `2001:db8::/32`)',
  check: (value) =>
    typeof value === 'string' && parseNetwork(value) !== undefined
      ? undefined
      : 'must be an IP address or a network such as 192.0.2.0/24',
});
