import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Endpoint, formatEndpoint } from '../../src/config/network-formats.ts';
import { freePort } from './free-port.ts';
import { waitFor } from './wait-for.ts';

/**
 * Zone origin (`example.test`, `.`) to the records of its master file, `$TTL` and SOA left out. NS
 * records are left out too, unless the text has some of its own for `@`.
 */
export type BindZones = Readonly<Record<string, string>>;

export interface BindOptions {
  /** Default TTL of records and of negative answers, in seconds; default 300. */
  readonly ttlS?: number;
  /** Addresses of this machine where it listens, IPv4 or IPv6; 127.0.0.1 alone by default. */
  readonly listenOn?: readonly string[];
  /** Address of the name server `ns` that each zone has by default; the first of `listenOn`. */
  readonly nameServer?: string;
  /** Serial number of all zones; default 1. */
  readonly serial?: number;
  /** Statements besides `options`, such as keys. */
  readonly statements?: string;
  /** Zones that BIND signs (DNSSEC), with keys that it makes. */
  readonly signed?: readonly string[];
  /** Statements in each zone, such as `allow-update`. */
  readonly zoneStatements?: string;
}

/** A BIND that runs for one test. */
export interface Bind {
  /** The first where it listens. */
  readonly address: string;
  readonly port: number;
  /** As `dns.servers` takes it. */
  readonly server: string;
  /** BIND's own record of the queries for a name, as soon as there is one. */
  queryLog(name: string): Promise<string[]>;
  /** Ends it and removes its folder. */
  close(): Promise<void>;
}

/** Another process may take the port between its choice and named's start. */
const ATTEMPTS = 5;

/**
 * Starts a real BIND 9 as an authoritative server of `zones`, UDP and TCP on a port of loopback
 * addresses, with everything it writes in a folder of its own.
 *
 * @param named path of the program, see `requirePeer`
 */
export async function startBind(
  named: string,
  zones: BindZones,
  options: BindOptions = {},
): Promise<Bind> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-bind-'));
  try {
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort();
      await writeConfiguration(folder, port, zones, options);
      const started = await run(named, folder);
      if (started.ok) {
        return running(started, folder, { host: options.listenOn?.[0] ?? '127.0.0.1', port });
      }
      if (attempt === ATTEMPTS) throw new Error(`named did not start:\n${started.output}`);
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function writeConfiguration(
  folder: string,
  port: number,
  zones: BindZones,
  { ttlS = 300, serial = 1, listenOn = ['127.0.0.1'], ...more }: BindOptions,
): Promise<void> {
  const nameServer = more.nameServer ?? listenOn[0] ?? '127.0.0.1';
  const addresses = (family: 4 | 6) =>
    listenOn.filter((address) => isIP(address) === family).map((address) => `${address};`);
  await mkdir(join(folder, 'zones'), { recursive: true });
  const statements = [
    `options {
      directory "${folder}";
      pid-file "${folder}/named.pid";
      session-keyfile "${folder}/session.key";
      lock-file none;
      listen-on port ${port} { ${addresses(4).join(' ') || 'none;'} };
      listen-on-v6 port ${port} { ${addresses(6).join(' ') || 'none;'} };
      recursion no;
      querylog yes;
      notify no;
      minimal-responses yes;
      check-names master ignore;
      key-directory "${folder}";
    };
    controls { };`,
    more.statements ?? '',
  ];
  for (const [origin, records] of Object.entries(zones)) {
    const file = join(folder, 'zones', origin === '.' ? 'root' : origin);
    const signing = more.signed?.includes(origin)
      ? 'dnssec-policy default; inline-signing yes;'
      : '';
    const inZone = `${more.zoneStatements ?? ''} ${signing}`;
    statements.push(`zone "${origin}" { type master; file "${file}"; ${inZone} };`);
    const below = origin === '.' ? '.' : `.${origin}.`;
    const soa = `@ IN SOA ns${below} hostmaster${below} ${serial} 3600 600 86400 ${ttlS}`;
    const own = /^@\s+(\d+\s+)?IN\s+NS\s/m.test(records)
      ? []
      : ['@ IN NS ns', `ns IN ${isIP(nameServer) === 6 ? 'AAAA' : 'A'} ${nameServer}`];
    await writeFile(file, `${[`$TTL ${ttlS}`, soa, ...own, records].join('\n')}\n`);
  }
  await writeFile(join(folder, 'named.conf'), `${statements.join('\n')}\n`);
}

type Started =
  | { readonly ok: true; readonly child: ChildProcess; readonly output: () => string }
  | { readonly ok: false; readonly output: string };

/** Runs named in the foreground until it says that it serves, or ends. */
function run(named: string, folder: string): Promise<Started> {
  const child = spawn(named, ['-g', '-n', '1', '-c', join(folder, 'named.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', () => resolve({ ok: false, output }));
    child.stderr.on('data', (piece) => {
      output += String(piece);
      // It says "running" even when it got no port; such a one is ended by its pid.
      if (!/ running\n/.test(output)) return;
      if (/could not listen|not listening on any|zone .* not loaded/.test(output)) child.kill();
      else resolve({ ok: true, child, output: () => output });
    });
  });
}

function running(
  { child, output }: Extract<Started, { ok: true }>,
  folder: string,
  { host, port }: Endpoint,
): Bind {
  return {
    address: host,
    port,
    server: formatEndpoint({ host, port }),
    queryLog: async (name) => {
      const logged = () => output().match(new RegExp(`query: ${name} IN .*`, 'g')) ?? [];
      await waitFor(`a query for ${name} in the log`, () => logged().length > 0);
      return logged();
    },
    close: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        await ended;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}
