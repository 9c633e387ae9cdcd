import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BindZones } from './bind.ts';
import { freePort } from './free-port.ts';

export interface KnotOptions {
  /** A TSIG key (hmac-sha256) that may update all zones; its secret in base64. */
  readonly updateKey: { readonly name: string; readonly secret: string };
}

/** A Knot DNS that runs for one test. */
export interface Knot {
  readonly port: number;
  /** Ends it and removes its folder. */
  close(): Promise<void>;
}

/** Another process may take the port between its choice and the start. */
const ATTEMPTS = 5;

/**
 * Starts a real Knot DNS as the primary of `zones` on a port of 127.0.0.1.
 *
 * @param knotd path of the program, see `requirePeer`
 */
export async function startKnot(
  knotd: string,
  zones: BindZones,
  options: KnotOptions,
): Promise<Knot> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-knot-'));
  try {
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort();
      await writeConfiguration(folder, port, zones, options);
      const started = await run(knotd, folder);
      if (typeof started === 'function') {
        return {
          port,
          close: async () => {
            await started();
            await rm(folder, { recursive: true, force: true });
          },
        };
      }
      if (attempt === ATTEMPTS) throw new Error(`knotd did not start:\n${started}`);
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
  { updateKey }: KnotOptions,
): Promise<void> {
  const lines = [
    'server:',
    `  rundir: "${folder}"`,
    `  listen: 127.0.0.1@${port}`,
    'log:',
    '  - target: stderr',
    '    any: info',
    'database:',
    `  storage: "${folder}"`,
    'key:',
    `  - id: ${updateKey.name}`,
    '    algorithm: hmac-sha256',
    `    secret: ${updateKey.secret}`,
    'acl:',
    '  - id: writer',
    `    key: ${updateKey.name}`,
    '    action: update',
    'zone:',
  ];
  for (const [origin, records] of Object.entries(zones)) {
    const soa = `@ IN SOA ns.${origin}. hostmaster.${origin}. 1 3600 600 86400 300`;
    const head = [`$ORIGIN ${origin}.`, '$TTL 300', soa, '@ IN NS ns', 'ns IN A 127.0.0.1'];
    await writeFile(join(folder, `${origin}.zone`), `${[...head, records].join('\n')}\n`);
    lines.push(`  - domain: ${origin}`, `    file: "${folder}/${origin}.zone"`, '    acl: writer');
  }
  await writeFile(join(folder, 'knot.conf'), `${lines.join('\n')}\n`);
}

/** Runs knotd in the foreground until it serves; gives what ends it, or its output when it ended. */
function run(knotd: string, folder: string): Promise<string | (() => Promise<void>)> {
  const child = spawn(knotd, ['-c', join(folder, 'knot.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', () => resolve(output));
    child.stderr.on('data', (piece) => {
      output += String(piece);
      if (!/server started/.test(output)) return;
      resolve(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        await ended;
      });
    });
  });
}
