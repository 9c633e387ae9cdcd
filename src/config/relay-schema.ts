import type convict from 'convict';
import type { Config } from './config.ts';
import { hostNameOrEmpty, ipv4OrEmpty, ipv6OrEmpty } from './network-formats.ts';
import { tlsLevel } from './route-formats.ts';
import { file, integer, milliseconds, onOff } from './scalar-formats.ts';
import { setting } from './setting.ts';

/** The side that talks to MXs. */
export const relaySchema: convict.Schema<Config['relay']> = {
  ehloName: setting(
    hostNameOrEmpty,
    '',
    'Name in EHLO to other servers: fully qualified, and resolving to the address that they see. Empty: `server.name`.',
  ),
  sourceAddress: {
    ipv4: setting(ipv4OrEmpty, '', 'Local address of IPv4 connections. Empty: the system chooses.'),
    ipv6: setting(ipv6OrEmpty, '', 'Local address of IPv6 connections. Empty: the system chooses.'),
  },
  port: setting(integer(1, 65_535), 25, 'Port of MXs. Anything but 25 is for tests.'),
  allowPrivate: setting(
    onOff,
    false,
    'Deliver to MXs at loopback, private and link-local addresses too. Off, so that a foreign DNS zone cannot point Waxseal into your network.',
  ),
  allowAddressLiterals: setting(
    onOff,
    false,
    'Accept recipients such as `user@[192.0.2.1]`, which name an address instead of a domain.',
  ),
  deadHostMs: setting(
    milliseconds(0, 3_600_000),
    60_000,
    'How long a host that could not be connected to is passed over.',
  ),
  keepConnectionMs: setting(
    milliseconds(0, 60_000),
    2000,
    'How long a connection to an MX stays open without use for the next message of the same client session to the same destination. It ends with the session. 0: each message gets a connection of its own.',
  ),
  tls: setting(
    tlsLevel,
    'opportunistic',
    'TLS to MXs. `opportunistic`: tried, the certificate is not verified, plain text if it fails (RFC 7435). `encrypt`: required, not verified. `verify`: required, and the certificate must be good for the host name. `none`: never tried. What is required and not had is answered 451 4.7.5.',
  ),
  caFile: setting(
    file,
    '',
    'Authorities (PEM) for `verify`. Empty: the ones that Node.js brings along.',
  ),
  connectTimeoutMs: setting(
    milliseconds(100, 240_000),
    30_000,
    'How long one address may take to accept a connection.',
  ),
  greetingTimeoutMs: setting(
    milliseconds(100, 240_000),
    60_000,
    'How long a server may take for its greeting, and for each reply up to RCPT.',
  ),
  rcptBudgetMs: setting(
    milliseconds(1000, 299_999),
    240_000,
    'Time from RCPT to its reply, for all servers that are tried. Below the 300 seconds after which a client gives up (RFC 5321 section 4.5.3.2), so that it always hears an answer.',
  ),
  dataBudgetMs: setting(
    milliseconds(1000, 119_999),
    60_000,
    'Time from DATA to its reply. Below the 120 seconds after which a client gives up.',
  ),
  finalDotBudgetMs: setting(
    milliseconds(1000, 599_999),
    570_000,
    'Time from the final dot to its reply. Below the 600 seconds after which a client gives up.',
  ),
};
