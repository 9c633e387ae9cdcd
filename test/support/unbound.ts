import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DnsServer } from '../../src/base/dns-transport.ts';
import { freePort } from './free-port.ts';

export interface UnboundOptions {
  /** Zone to the port of 127.0.0.1 where its authoritative server is; the root is among them. */
  readonly stubZones: Readonly<Record<string, number>>;
  /** DNSKEY or DS records in the form of zone files that validation starts from. */
  readonly trustAnchors?: readonly string[];
}

/** A recursive resolver that runs for one test. */
export interface Unbound {
  readonly server: DnsServer;
  close(): Promise<void>;
}

/** Another process may take the port between its choice and the start. */
const ATTEMPTS = 5;

/**
 * Starts a real Unbound, with a cache of its own.
 *
 * @param unbound path of the program, see `requirePeer`
 */
export async function startUnbound(unbound: string, options: UnboundOptions): Promise<Unbound> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-unbound-'));
  try {
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort();
      const file = join(folder, 'unbound.conf');
      await writeFile(file, configuration(folder, port, options));
      const started = await run(unbound, file);
      if (typeof started === 'function') {
        return {
          server: { address: '127.0.0.1', port },
          close: async () => {
            await started();
            await rm(folder, { recursive: true, force: true });
          },
        };
      }
      if (attempt === ATTEMPTS) throw new Error(`unbound did not start:\n${started}`);
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

function configuration(
  folder: string,
  port: number,
  { stubZones, trustAnchors = [] }: UnboundOptions,
): string {
  const zones = Object.keys(stubZones);
  return [
    'server:',
    '  interface: 127.0.0.1',
    `  port: ${port}`,
    `  directory: "${folder}"`,
    '  chroot: ""',
    '  username: ""',
    '  pidfile: ""',
    '  use-syslog: no',
    '  do-daemonize: no',
    '  do-not-query-localhost: no',
    '  num-threads: 1',
    // It would answer with NXDOMAIN itself (RFC 6761).
    '  local-zone: "test." nodefault',
    `  module-config: "${trustAnchors.length > 0 ? 'validator ' : ''}iterator"`,
    ...trustAnchors.map((anchor) => `  trust-anchor: "${anchor}"`),
    ...(trustAnchors.length > 0 ? [] : zones.map((zone) => `  domain-insecure: "${zone}"`)),
    'remote-control:',
    '  control-enable: no',
    ...Object.entries(stubZones).flatMap(([zone, at]) => [
      'stub-zone:',
      `  name: "${zone}"`,
      `  stub-addr: 127.0.0.1@${at}`,
    ]),
    '',
  ].join('\n');
}

/** Runs it in the foreground until it serves; gives what ends it, or its output when it ended. */
function run(unbound: string, file: string): Promise<string | (() => Promise<void>)> {
  const child = spawn(unbound, ['-d', '-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  let output = '';
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', () => resolve(output));
    child.stderr.on('data', (piece) => {
      output += String(piece);
      if (!/start of service/.test(output)) return;
      resolve(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        await ended;
      });
    });
  });
}
