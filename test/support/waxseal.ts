import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { waitFor } from './wait-for.ts';

const CLI = join(dirname(fileURLToPath(import.meta.url)), '../../src/cli.ts');
const run = promisify(execFile);

/** Hints for tests that are not about DNS; nothing is asked on the Internet. */
export const NO_SERVERS = JSON.stringify([{ zone: '.', servers: ['127.0.0.1:1'] }]);

/** A record of the log, as JSON. */
export type LogRecord = Record<string, unknown> & { readonly event?: string };

/** A configuration as nested settings, as in the YAML file. */
export type Settings = Record<string, unknown>;

/**
 * Waxseal as its users have it: the command line in a process of its own, a configuration file, a
 * keyring, standard output as the log.
 */
export class Waxseal {
  readonly dir: string;
  readonly configFile: string;
  readonly records: LogRecord[] = [];
  stderr = '';
  #settings: Settings;
  #child: ChildProcess | undefined;
  #port = 0;

  private constructor(dir: string, settings: Settings) {
    this.dir = dir;
    this.configFile = join(dir, 'waxseal.yaml');
    this.#settings = settings;
  }

  /** Makes a folder with configuration, but starts nothing. */
  static async prepare(settings: Settings): Promise<Waxseal> {
    const dir = await mkdtemp(join(tmpdir(), 'waxseal-e2e-'));
    const waxseal = new Waxseal(dir, {});
    await waxseal.configure({
      server: { name: 'relay.example.net' },
      listen: ['127.0.0.1:0'],
      keys: {
        dir: join(dir, 'keys'),
        masterKeyFile: join(dir, 'master.key'),
        watchMs: 3_600_000, // a test that is about the watch says so
      },
      log: { format: 'json' },
      ...settings,
    });
    return waxseal;
  }

  /** Prepares, makes an active RSA and Ed25519 key for each domain, and serves. */
  static async start(settings: Settings, domains: readonly string[]): Promise<Waxseal> {
    const waxseal = await Waxseal.prepare(settings);
    for (const domain of domains) await waxseal.makeKeys(domain);
    await waxseal.serve();
    return waxseal;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Writes the configuration file anew; a running process sees it at its next reload. */
  async configure(settings: Settings): Promise<void> {
    this.#settings = { ...this.#settings, ...settings };
    await writeFile(this.configFile, stringify(this.#settings));
  }

  /** Creates and activates keys, without looking at DNS. @returns the DNS records as JSON */
  async makeKeys(domain: string): Promise<unknown> {
    await this.cli('keys', 'create', domain);
    await this.activate(domain);
    return JSON.parse(await this.cli('keys', 'dns', domain, '--json'));
  }

  /** Activates what was created, whatever DNS shows: the servers that are asked do not exist. */
  async activate(domain: string): Promise<void> {
    await this.#run(['keys', 'activate', domain, '--force'], { WAXSEAL_DNS_HINTS: NO_SERVERS });
  }

  /** Runs a command. @returns standard output @throws with stderr when the exit code is not 0 */
  async cli(...args: string[]): Promise<string> {
    return await this.#run(args, {});
  }

  async #run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
    const argv = [CLI, ...args, '--config', this.configFile];
    const options = { cwd: this.dir, env: { ...process.env, ...env } };
    const { stdout } = await run(process.execPath, argv, options);
    return stdout;
  }

  /**
   * Starts `serve` and waits until it listens.
   *
   * @param env over that of this process
   */
  async serve(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const child = spawn(process.execPath, [CLI, 'serve', '--config', this.configFile], {
      cwd: this.dir,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.records.push(JSON.parse(line) as LogRecord);
    });
    child.stderr.on('data', (text) => {
      this.stderr += text;
    });
    const isUp = () => this.records.some((record) => record.event === 'started');
    await waitFor('waxseal to listen', () => child.exitCode !== null || isUp());
    if (!isUp()) {
      throw new Error(`waxseal ended with ${child.exitCode}: ${this.stderr}`);
    }
    const started = this.records.findLast((record) => record.event === 'started');
    const listen = (started?.listen ?? []) as string[];
    this.#port = Number(listen[0]?.split(':').at(-1));
  }

  /** The terminal records of transactions so far. */
  get transactions(): LogRecord[] {
    return this.records.filter((record) => record.event === 'transaction');
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Ends the process (SIGTERM; SIGKILL if that does not help) and removes the folder. */
  async stop(): Promise<void> {
    await this.end();
    await rm(this.dir, { recursive: true, force: true });
  }

  /** Waits until the process has ended by itself. @returns the exit code */
  async untilEnded(): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) return null;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode;
  }

  /** Ends the process and keeps the folder. @returns the exit code */
  async end(): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) return null;
    this.#child = undefined;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    const [code] = await exited;
    clearTimeout(timer);
    return code as number | null;
  }
}
