/** The systems that are measured: the built relay, and the floor program. */
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { SignatureKind } from './bench-key.ts';
import { startChild, startProgram, withManyFiles } from './children.ts';
import type { FloorOptions } from './floor.ts';
import { FROM_DOMAIN, MX_ADDRESS, type Stage, waitUntilAccepting } from './stage.ts';

/** Something that takes mail on loopback. */
export interface System {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';
const ROOT = new URL('..', import.meta.url).pathname;
const CLI = join(ROOT, 'dist/cli.js');

/** Starts the floor program in front of the measured sink. */
export async function startFloor(stage: Stage, signature: SignatureKind): Promise<System> {
  const options: FloorOptions = {
    host: HOST,
    sinkHost: MX_ADDRESS['sink.example'],
    sinkPort: stage.sinkPort,
    signature,
  };
  const child = startProgram('./floor.ts', options);
  const { port } = await child.next<{ port: number }>();
  return { port, pid: child.pid, stop: () => child.stop() };
}

/** Throws unless `dist/` is there and newer than every file of `src/`. */
export async function checkBuild(): Promise<void> {
  const built = await stat(CLI).catch(() => undefined);
  if (built === undefined) {
    throw new Error('dist/cli.js is missing: run npm run build first');
  }
  const source = join(ROOT, 'src');
  for (const name of await readdir(source, { recursive: true })) {
    if (name.endsWith('.ts') && !name.endsWith('.d.ts')) {
      const output = join(ROOT, 'dist', name.replace(/\.ts$/, '.js'));
      const [from, to] = await Promise.all([
        stat(join(source, name)),
        stat(output).catch(() => undefined),
      ]);
      if (to === undefined || to.mtimeMs < from.mtimeMs) {
        throw new Error(`dist/ is older than src/${name}: run npm run build first`);
      }
    }
  }
}

/** A relay that differs from the usual one. */
export interface RelayVariant {
  /** Sections over those of the configuration. */
  readonly settings: object;
  readonly makeKeys: (configFile: string, dir: string) => Promise<void>;
  /** How long it may take to start. */
  readonly startMs?: number;
}

const USUAL: RelayVariant = { settings: {}, makeKeys };

/** Starts the built relay with a configuration, keys and a spool of its own. */
export async function startRelay(stage: Stage, variant: RelayVariant = USUAL): Promise<System> {
  const dir = await mkdtemp(join(stage.workDir, 'relay-'));
  const port = await freePort();
  const configFile = join(dir, 'waxseal.json.yaml');
  await mkdir(join(dir, 'spool'));
  const config = { ...relayConfig(stage, dir, port), ...variant.settings };
  await writeFile(configFile, JSON.stringify(config, null, 2));
  await variant.makeKeys(configFile, dir);
  const logFile = join(dir, 'relay.log');
  // As users run it, so that the flags of its first line hold; a profile needs more of them.
  const interpreter =
    stage.profileDir === undefined
      ? []
      : [process.execPath, '--cpu-prof', `--cpu-prof-dir=${stage.profileDir}`];
  const command = [...interpreter, CLI, 'serve', '--config', configFile];
  const child = startChild('relay', 'sh', withManyFiles(command), { logFile });
  try {
    await waitUntilAccepting(HOST, port, () => !child.hasExited, variant.startMs);
  } catch (error) {
    await child.stop();
    throw new Error(`the relay did not start: ${readFileSync(logFile, 'utf8').slice(-2000)}`, {
      cause: error,
    });
  }
  return { port, pid: child.pid, stop: () => child.stop() };
}

function relayConfig(stage: Stage, dir: string, port: number): object {
  return {
    server: { name: 'relay.bench.example' },
    listen: [`${HOST}:${port}`],
    limits: { sessions: 20_000, sessionsPerClient: 20_000 },
    dns: {
      servers: [`127.0.0.1:${stage.dnsPort}`],
      // Keys are activated by force; no server of the Internet need say what it thinks of them.
      hints: [{ zone: '.', servers: ['127.0.0.1:1'] }],
    },
    relay: { port: stage.sinkPort, allowPrivate: true, ehloName: 'relay.bench.example' },
    keys: { dir: join(dir, 'keys'), masterKeyFile: join(dir, 'secrets/master.key') },
    spool: { dir: join(dir, 'spool') },
    drain: { timeoutMs: 2000 },
    log: { format: 'json' },
  };
}

/** One RSA-2048 and one Ed25519 domain, each with one active key. */
async function makeKeys(configFile: string): Promise<void> {
  for (const signature of ['rsa', 'ed25519'] as const) {
    const domain = FROM_DOMAIN[signature];
    const algorithm = signature === 'rsa' ? 'rsa2048' : 'ed25519';
    const config = ['--config', configFile];
    await runCli([...config, 'keys', 'create', domain, '--algorithm', algorithm]);
    await runCli([...config, 'keys', 'activate', domain, '--force']);
  }
}

async function runCli(args: readonly string[]): Promise<void> {
  const child = startChild('waxseal', process.execPath, [CLI, ...args]);
  const status = await child.exited;
  if (status !== 0) {
    throw new Error(`waxseal ${args.join(' ')} ended with ${status}: ${child.errorText}`);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, HOST, () => {
      const address = server.address();
      const port = address !== null && typeof address === 'object' ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
