import { BlockList, isIP } from 'node:net';
import { relative } from 'node:path';
import { canonicalAddress } from '../base/ip-text.ts';
import type { Config, SmarthostSetting } from './config.ts';
import { isFullyQualified, type Network, parseEndpoint, parseNetwork } from './network-formats.ts';

const DNS_PORT = 53;

/** What a check over several settings found. */
export interface Finding {
  readonly severity: 'error' | 'warning';
  readonly key: string;
  readonly message: string;
}

/** Settings that are good one by one and wrong, or doubtful, together. */
export const crossChecks: readonly ((config: Config) => readonly Finding[])[] = [
  checkListen,
  checkTlsFiles,
  checkNames,
  checkOpenRelay,
  checkSizes,
  checkTimes,
  checkHints,
  checkSignedHeaders,
  checkHopCredentials,
  checkMasterKeyPlace,
  checkKeyringStore,
  checkRotation,
];

function error(key: string, message: string): Finding {
  return { severity: 'error', key, message };
}

function warning(key: string, message: string): Finding {
  return { severity: 'warning', key, message };
}

/** The second of the two would find its port taken. */
function checkListen({ listen }: Config): readonly Finding[] {
  return listen
    .filter((one) => one.startsWith('[::]:'))
    .map((one) => one.replace('[::]', '0.0.0.0'))
    .filter((other) => listen.includes(other))
    .map((other) => error('listen', `"[::]" takes IPv4 too: leave ${other} out`));
}

function checkTlsFiles({ tls, clients }: Config): readonly Finding[] {
  const findings: Finding[] = [];
  if (tls.keyFile !== '' && tls.certFile === '') {
    findings.push(
      error('tls.keyFile', 'needs tls.certFile: a key is of no use without its certificate'),
    );
  }
  if (tls.certFile !== '' && tls.keyFile === '') {
    findings.push(
      error('tls.certFile', 'needs tls.keyFile: a certificate is of no use without its key'),
    );
  }
  if (tls.clientCaFile !== '' && tls.certFile === '') {
    findings.push(
      error('tls.clientCaFile', 'needs tls.certFile: clients show certificates only under TLS'),
    );
  }
  if (clients.usersFile !== '' && tls.certFile === '') {
    findings.push(
      error('clients.usersFile', 'needs tls.certFile: passwords are taken only under TLS'),
    );
  }
  if (clients.certificateNames.length > 0 && tls.clientCaFile === '') {
    findings.push(
      error(
        'clients.certificateNames',
        'needs tls.clientCaFile, which says whose certificates count',
      ),
    );
  }
  return findings;
}

function checkNames({ server, relay }: Config): readonly Finding[] {
  const findings: Finding[] = [];
  if (!isFullyQualified(relay.ehloName)) {
    findings.push(
      warning(
        'relay.ehloName',
        `"${relay.ehloName}" is not a fully qualified host name, and many servers refuse mail from such a host: set relay.ehloName or server.name`,
      ),
    );
  }
  if (!isFullyQualified(server.name) && server.name !== relay.ehloName) {
    findings.push(warning('server.name', `"${server.name}" is not a fully qualified host name`));
  }
  return findings;
}

/** Networks from which nobody on the Internet can come (RFC 1918, 4193, 4291, 6598, 3927). */
const PRIVATE_NETWORKS = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '::1/128',
  'fc00::/7',
  'fe80::/10',
];

/** A public network as wide as this, or wider, is hardly under one operator's control. */
const WIDE_PREFIX = { ipv4: 23, ipv6: 47 } as const;

function checkOpenRelay({ clients }: Config): readonly Finding[] {
  return clients.allow.flatMap((written, index) => {
    const network = parseNetwork(written);
    if (network === undefined || !isWideAndPublic(network)) return [];
    const who = network.prefixLength === 0 ? 'everybody' : `everybody in ${written}`;
    return [
      warning(
        `clients.allow[${index}]`,
        `${written} makes an open relay: ${who} may send mail through it`,
      ),
    ];
  });
}

function isWideAndPublic(network: Network): boolean {
  if (PRIVATE_NETWORKS.some((outer) => isInside(network, parseNetwork(outer)))) return false;
  const isMapped =
    network.address.toLowerCase().startsWith('::ffff:') && network.prefixLength >= 96;
  const prefixLength = isMapped ? network.prefixLength - 96 : network.prefixLength;
  return prefixLength <= WIDE_PREFIX[isMapped ? 'ipv4' : network.family];
}

function isInside(inner: Network, outer: Network | undefined): boolean {
  if (outer === undefined || inner.family !== outer.family) return false;
  if (inner.prefixLength < outer.prefixLength) return false;
  const list = new BlockList();
  list.addSubnet(outer.address, outer.prefixLength, outer.family);
  return list.check(inner.address, inner.family);
}

function checkSizes({ limits, spool }: Config): readonly Finding[] {
  const findings: Finding[] = [];
  if (limits.messageBytes > spool.memoryBytes + spool.diskBytes) {
    findings.push(
      error(
        'limits.messageBytes',
        'is more than spool.memoryBytes and spool.diskBytes together can hold',
      ),
    );
  }
  if (limits.headerBytes > limits.messageBytes) {
    findings.push(error('limits.headerBytes', 'is more than limits.messageBytes'));
  }
  if (limits.sessionsPerClient > limits.sessions) {
    findings.push(
      warning('limits.sessionsPerClient', 'is more than limits.sessions, which counts'),
    );
  }
  return findings;
}

function checkTimes({ relay, dns, drain }: Config): readonly Finding[] {
  const findings: Finding[] = [];
  if (relay.connectTimeoutMs > relay.rcptBudgetMs) {
    findings.push(
      warning(
        'relay.connectTimeoutMs',
        'is more than relay.rcptBudgetMs: one dead address uses all the time up',
      ),
    );
  }
  if (relay.greetingTimeoutMs > relay.rcptBudgetMs) {
    findings.push(
      warning(
        'relay.greetingTimeoutMs',
        'is more than relay.rcptBudgetMs: one silent server uses all the time up',
      ),
    );
  }
  if (dns.timeoutMs * dns.attempts > relay.rcptBudgetMs) {
    findings.push(
      warning(
        'dns.timeoutMs',
        'times dns.attempts is more than relay.rcptBudgetMs: one lookup uses all the time up',
      ),
    );
  }
  if (drain.timeoutMs < relay.finalDotBudgetMs) {
    findings.push(
      warning(
        'drain.timeoutMs',
        'is less than relay.finalDotBudgetMs: a shutdown may leave messages whose outcome nobody knows',
      ),
    );
  }
  return findings;
}

/** DNS names servers by their address alone, so a walk could not tell two ports of one address apart. */
function checkHints({ dns: { hints } }: Config): readonly Finding[] {
  return hints.flatMap(({ zone, servers }, index) => {
    const key = `dns.hints[${index}]`;
    const earlier = hints.findIndex((hint) => hint.zone === zone);
    const again =
      earlier === index
        ? []
        : [
            error(
              `${key}.zone`,
              `${zone} has a hint already: put all its servers into dns.hints[${earlier}]`,
            ),
          ];
    const ports = new Map<string, number>();
    const collisions = servers.flatMap((server, place) => {
      const { host, port } = parseEndpoint(server, DNS_PORT) ?? { host: server, port: DNS_PORT };
      const address = canonicalAddress(host);
      const other = ports.get(address);
      ports.set(address, other ?? port);
      if (other === undefined || other === port) return [];
      const message = `${address} stands there already, with port ${other}: a name server has one port`;
      return [error(`${key}.servers[${place}]`, message)];
    });
    return [...again, ...collisions];
  });
}

function checkSignedHeaders({ signing }: Config): readonly Finding[] {
  const { alwaysOversigned } = signing.headers;
  return alwaysOversigned.some((name) => name.toLowerCase() === 'from')
    ? []
    : [
        error(
          'signing.headers.alwaysOversigned',
          'must have From: a signature without it proves nothing (RFC 6376 section 5.4)',
        ),
      ];
}

function checkHopCredentials({ route, smarthost }: Config): readonly Finding[] {
  const hops: readonly (readonly [string, SmarthostSetting])[] = [
    ...route.map((hop, index) => [`route[${index}]`, hop] as const),
    ...(smarthost === null ? [] : [['smarthost', smarthost] as const]),
  ];
  return hops.flatMap(([key, hop]) => {
    const findings: Finding[] = [];
    if (hop.credentials !== undefined && hop.tls !== 'encrypt' && hop.tls !== 'verify') {
      findings.push(
        error(
          `${key}.tls`,
          `is ${hop.tls}, but a password may travel only under TLS: set encrypt or verify`,
        ),
      );
    }
    if (hop.tls === 'verify' && hop.hosts.some((host) => isIP(host) !== 0)) {
      findings.push(
        warning(
          `${key}.hosts`,
          'names an IP address, and certificates are seldom good for one: name the host',
        ),
      );
    }
    return findings;
  });
}

/** A keyring's ConfigMaps are named after it, and so is a label of theirs (RFC 1123 section 2.1). */
const OBJECT_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

function checkKeyringStore({ keys: { store, watchMs, maxStaleMs } }: Config): readonly Finding[] {
  const findings: Finding[] = [];
  const { kind, kubernetes, s3 } = store;
  if (kind === 's3' && s3.bucket === '') {
    findings.push(error('keys.store.s3.bucket', 'is needed when keys.store.kind is s3'));
  }
  if (kind === 'kubernetes' && !/^https?:\/\//.test(kubernetes.server)) {
    findings.push(error('keys.store.kubernetes.server', 'must be a URL that begins with https://'));
  }
  if (kind === 'kubernetes' && kubernetes.server.startsWith('http://')) {
    findings.push(
      warning('keys.store.kubernetes.server', 'is plain HTTP: the token can be read on the way'),
    );
  }
  if (!OBJECT_NAME.test(kubernetes.name)) {
    const message = 'must be letters in lower case, digits and hyphens, at most 63';
    findings.push(error('keys.store.kubernetes.name', message));
  }
  if (watchMs * 3 > maxStaleMs) {
    findings.push(
      error(
        'keys.maxStaleMs',
        'must be three times keys.watchMs at least, or a look that is late stops all signing',
      ),
    );
  }
  return findings;
}

function checkMasterKeyPlace({ keys }: Config): readonly Finding[] {
  if (keys.store.kind !== 'file') return [];
  const way = relative(keys.dir, keys.masterKeyFile);
  return way.startsWith('..') || way.startsWith('/')
    ? []
    : [
        warning(
          'keys.masterKeyFile',
          'stands inside keys.dir: who gets a copy of the keyring gets the key to it as well',
        ),
      ];
}

/** TTL of key records, in days, that nobody chose otherwise. */
const USUAL_TTL_DAYS = 3600 / 86_400;

/** `keys revoke` refuses it; better to hear of it before keys are old. */
function checkRotation({ keys: { rotation } }: Config): readonly Finding[] {
  const rows = [
    { key: 'keys.rotation.retireAfterDays', habits: rotation },
    ...rotation.domains.map((row, index) => ({
      key: `keys.rotation.domains[${index}]`,
      habits: { ...rotation, ...row },
    })),
  ];
  return rows
    .filter(({ habits }) => habits.retireAfterDays < habits.queueLifetimeDays + USUAL_TTL_DAYS)
    .map(({ key }) =>
      warning(
        key,
        'retireAfterDays is less than queueLifetimeDays and the TTL of a record together: old keys will not be revoked, since mail under way would fail',
      ),
    );
}
