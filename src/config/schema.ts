import type convict from 'convict';
import type { Config } from './config.ts';
import { type Format, listFormat } from './format.ts';
import { formatNamed } from './format-registry.ts';
import { keysSchema } from './keys-schema.ts';
import { kmsSchema } from './kms-schema.ts';
import { dnsServer, hostNameOrEmpty, listenEndpoint, network } from './network-formats.ts';
import { dnsHintsSetting, publishersSetting } from './publishers-schema.ts';
import { relaySchema } from './relay-schema.ts';
import { routes, smarthost } from './route-formats.ts';
import * as scalar from './scalar-formats.ts';
import { setting } from './setting.ts';
import { signingSchema } from './signing-schema.ts';

const { milliseconds, octets, integer, seconds, oneOf } = scalar;
const DAY_S = 86_400;
const HOUR_MS = 3_600_000;

/** The one place where settings are described. Sections that are long stand in files of their own. */
const sections: convict.Schema<Config> = {
  server: {
    name: setting(
      hostNameOrEmpty,
      '',
      'Name of this server in the greeting, in Received fields and in message ids. Empty: the host name of the machine.',
    ),
  },
  listen: setting(
    listFormat(listenEndpoint, { atLeast: 1 }),
    ['127.0.0.1:2525'],
    'Where clients connect.',
  ),
  clients: {
    allow: setting(
      listFormat(network),
      ['127.0.0.0/8', '::1/128'],
      'Clients that may send by their address. Name only networks that you control: a network that is too wide makes an open relay. Reloaded by SIGHUP.',
    ),
    usersFile: setting(
      scalar.file,
      '',
      'File of user names and scrypt hashes, made by `waxseal users add`. AUTH is offered under TLS when it is set. Reloaded by SIGHUP.',
    ),
    certificateNames: setting(
      listFormat(scalar.text),
      [],
      'Names (subject CN or alternative name) of client certificates that may send. Empty: every certificate that `tls.clientCaFile` signed.',
    ),
  },
  tls: {
    certFile: setting(
      scalar.file,
      '',
      'Certificate chain (PEM) for clients that say STARTTLS. Empty: STARTTLS is not offered. Reloaded by SIGHUP.',
    ),
    keyFile: setting(scalar.file, '', 'Private key (PEM) of `tls.certFile`. Reloaded by SIGHUP.'),
    clientCaFile: setting(
      scalar.file,
      '',
      'Authorities (PEM) whose client certificates are a way to be allowed. Empty: client certificates are not asked for.',
    ),
    minVersion: setting(
      oneOf('TLSv1.2', 'TLSv1.3'),
      'TLSv1.2',
      'Oldest TLS version that clients may use.',
    ),
  },
  limits: {
    sessions: setting(
      integer(1, 100_000),
      2000,
      'Client sessions at the same time. Over it, a new connection is answered 421 and closed.',
    ),
    sessionsPerClient: setting(
      integer(1, 100_000),
      500,
      'Sessions of one client address at the same time. Over it, an allowed client is greeted and gets 451 at MAIL.',
    ),
    messageBytes: setting(
      octets(1024, 4 * 1024 ** 3),
      52_428_800,
      'Largest message, in octets; advertised as SIZE.',
    ),
    headerBytes: setting(
      octets(1024, 16 * 1024 ** 2),
      262_144,
      'Largest header of a message, in octets.',
    ),
    recipients: setting(integer(1, 100_000), 1000, 'Recipients of one transaction.'),
    hops: setting(
      integer(1, 1000),
      50,
      'More Received fields than this are taken for a mail loop (554 5.4.6).',
    ),
    idleMs: setting(
      milliseconds(1000, HOUR_MS),
      300_000,
      'How long a client may say nothing (RFC 5321 section 4.5.3.2 asks for 5 minutes).',
    ),
    authFailures: setting(
      integer(1, 1000),
      5,
      'Failed AUTH attempts of one client address within 10 minutes before AUTH is refused.',
    ),
    protocolErrors: setting(
      integer(1, 10_000),
      20,
      'Rejected commands of one session before it is closed.',
    ),
  },
  content: {
    strayLineEnds: setting(
      oneOf('fix', 'refuse'),
      'fix',
      'A bare LF or CR in a message: `fix` makes the LF a CRLF and the CR a blank before signing, `refuse` answers 550 5.6.11.',
    ),
    longLines: setting(
      oneOf('pass', 'refuse'),
      'pass',
      'Lines over 998 octets: `pass` them on (a later hop may fold them and break the signature) or `refuse` with 550 5.6.0. Over 64 KiB they are always refused.',
    ),
    addDate: setting(scalar.onOff, false, 'Add a Date field where there is none.'),
    addMessageId: setting(scalar.onOff, false, 'Add a Message-ID field where there is none.'),
  },
  received: {
    hideClient: setting(
      scalar.onOff,
      false,
      "Leave the client's name and address out of the Received field.",
    ),
  },
  dns: {
    servers: setting(
      listFormat(dnsServer),
      [],
      "DNS servers to ask. Empty: the system's (/etc/resolv.conf).",
    ),
    timeoutMs: setting(
      milliseconds(50, 60_000),
      3000,
      'How long one DNS server may take to answer.',
    ),
    attempts: setting(integer(1, 10), 3, 'Attempts before a lookup counts as failed (451 4.4.3).'),
    cacheEntries: setting(integer(0, 10_000_000), 20_000, 'Most answers that are remembered.'),
    maxTtlS: setting(
      seconds(0, 7 * DAY_S),
      DAY_S,
      'Longest time for which an answer is remembered, whatever its TTL says.',
    ),
    maxNegativeTtlS: setting(
      seconds(0, DAY_S),
      3600,
      'Longest time for which the absence of a record is remembered (RFC 2308).',
    ),
    hints: dnsHintsSetting,
  },
  relay: relaySchema,
  route: setting(
    routes,
    [],
    'Fixed hosts for recipient domains, instead of their MX records. `domains`: `example.com` (exactly it) or `.example.com` (all its subdomains, not itself); an exact name counts before the longest suffix. `hosts` are tried in their order. `port` is 25 and `tls` is that of `relay.tls` unless given. `credentials` (AUTH) need `tls: encrypt` or `verify`.',
  ),
  smarthost: setting(
    smarthost,
    null,
    'Fixed hosts for all mail that no route matches, written like a route without `domains`. `null`: mail goes to the MX of its recipient.',
  ),
  signing: signingSchema,
  publishers: publishersSetting,
  keys: keysSchema,
  kms: kmsSchema,
  spool: {
    dir: setting(
      scalar.directory,
      '',
      "Where messages over `spool.messageMemoryBytes` stand while they pass, as files without a name. Empty: the system's directory for temporary files.",
    ),
    messageMemoryBytes: setting(
      octets(0, 1024 ** 3),
      1_310_720,
      'Octets of one message that may stand in memory; the rest goes to a file.',
    ),
    memoryBytes: setting(
      octets(0, 64 * 1024 ** 3),
      67_108_864,
      'Octets of all messages that may stand in memory.',
    ),
    diskBytes: setting(
      octets(0, 1024 ** 5),
      4_294_967_296,
      'Octets of all messages that may stand in files.',
    ),
    waitMs: setting(
      milliseconds(0, 179_999),
      120_000,
      'How long a client waits for room before its message is answered 452 4.3.1. Postfix gives up after 180 seconds.',
    ),
  },
  drain: {
    timeoutMs: setting(
      milliseconds(0, HOUR_MS),
      600_000,
      'How long running transactions may take to finish after SIGTERM.',
    ),
  },
  log: {
    level: setting(
      oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
      'info',
      'Least serious event that is logged. The record of each transaction is `info`.',
    ),
    format: setting(
      oneOf('auto', 'json', 'pretty'),
      'auto',
      '`auto` is `pretty` on a terminal and `json` elsewhere.',
    ),
  },
};

/** One setting of the schema. */
export interface SettingRow {
  /** With dots, e.g. `limits.sessions`. */
  readonly key: string;
  readonly doc: string;
  readonly format: Format;
  /** As it would stand in a configuration file. */
  readonly defaultValue: unknown;
  /** The environment variable that overrides it. */
  readonly env: string;
}

type Node = { readonly [name: string]: unknown };

/** The schema as convict takes it, with the names of environment variables filled in. */
export const schema = withEnvironmentNames(sections as Node, []) as convict.Schema<Config>;

/** Every setting, in the order of the schema. */
export const settings: readonly SettingRow[] = collect(schema as Node, []);

/** `limits.messageBytes` → `WAXSEAL_LIMITS_MESSAGE_BYTES`. */
export function environmentName(key: string): string {
  const words = key.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll('.', '_');
  return `WAXSEAL_${words.toUpperCase()}`;
}

function isSetting(node: Node): boolean {
  return 'default' in node;
}

function withEnvironmentNames(node: Node, path: readonly string[]): Node {
  if (isSetting(node)) return { ...node, env: environmentName(path.join('.')) };
  return Object.fromEntries(
    Object.entries(node).map(([name, child]) => [
      name,
      withEnvironmentNames(child as Node, [...path, name]),
    ]),
  );
}

function collect(node: Node, path: readonly string[]): readonly SettingRow[] {
  if (!isSetting(node)) {
    return Object.entries(node).flatMap(([name, child]) => collect(child as Node, [...path, name]));
  }
  return [
    {
      key: path.join('.'),
      doc: String(node.doc),
      format: formatNamed(String(node.format)),
      defaultValue: node.default,
      env: String(node.env),
    },
  ];
}
