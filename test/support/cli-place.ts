import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { ManifestDomain } from '../../src/keys/manifest.ts';
import { FileJournal } from '../../src/keys/store/file-journal.ts';
import { FileKeyringStore } from '../../src/keys/store/file-store.ts';
import type { JournalEntry } from '../../src/keys/store/journal.ts';
import { waitFor } from './wait-for.ts';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const KILL_AT = fileURLToPath(new URL('./kill-at.ts', import.meta.url));

/** What a command left. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Kills itself at the n-th step that puts something on the disk, see `kill-at.ts`. */
  readonly killAt?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** A command that runs. */
export class RunningCommand {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.on('data', (piece) => {
      this.#stdout += piece;
    });
    child.stderr?.on('data', (piece) => {
      this.#stderr += piece;
    });
    this.ended = once(child, 'close').then(() => ({
      code: child.exitCode,
      signal: child.signalCode,
      stdout: this.#stdout,
      stderr: this.#stderr,
    }));
  }

  /** Waits until it says something on standard error, or ends. */
  async says(words: RegExp): Promise<void> {
    const isOver = () => this.#child.exitCode !== null || this.#child.signalCode !== null;
    await waitFor(`${words} (${this.#stderr})`, () => words.test(this.#stderr) || isOver(), 30_000);
    if (!words.test(this.#stderr)) throw new Error(`it ended and said: ${this.#stderr}`);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** A keyring and a configuration file in a folder, and `waxseal …` as processes on them. */
export class CliPlace {
  readonly dir: string;
  readonly keysDir: string;
  readonly configFile: string;
  readonly store: FileKeyringStore;
  readonly #env: Readonly<Record<string, string>>;

  private constructor(dir: string, env: Readonly<Record<string, string>>) {
    this.dir = dir;
    this.keysDir = join(dir, 'keys');
    this.configFile = join(dir, 'waxseal.yaml');
    this.store = new FileKeyringStore(this.keysDir);
    this.#env = env;
  }

  /** @param env of the processes, besides PATH */
  static async make(env: Readonly<Record<string, string>> = {}): Promise<CliPlace> {
    return new CliPlace(await mkdtemp(join(tmpdir(), 'waxseal-place-')), env);
  }

  /** Writes the configuration; `keys.dir` and the master key lie in the folder. */
  async configure(settings: Readonly<Record<string, unknown>>): Promise<void> {
    const { keys, ...others } = settings;
    const own = { dir: this.keysDir, masterKeyFile: join(this.dir, 'master.key') };
    const whole = { ...others, keys: { ...own, ...(keys as object | undefined) } };
    await writeFile(this.configFile, stringify(whole));
  }

  start(args: readonly string[], { killAt, env = {} }: RunOptions = {}): RunningCommand {
    const child = spawn(process.execPath, [CLI, ...args, '--config', this.configFile], {
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        // Many short processes: what the first one translated, the others load.
        NODE_COMPILE_CACHE: join(this.dir, 'compile-cache'),
        ...this.#env,
        ...(killAt === undefined
          ? {}
          : { KILL_AT: String(killAt), NODE_OPTIONS: `--import=${KILL_AT}` }),
        ...env,
      },
    });
    return new RunningCommand(child);
  }

  /** Runs `waxseal …` to its end. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    return await this.start(args, options).ended;
  }

  async entry(domain: string): Promise<ManifestDomain> {
    const { domains } = await this.store.read();
    return domains.get(domain) ?? { domain, subdomains: false, keys: [] };
  }

  /** Changes the manifest as a hand with an editor would: e.g. times, which no test can wait for. */
  async edit(domain: string, change: (entry: ManifestDomain) => ManifestDomain): Promise<void> {
    await this.store.change(async ({ domains }) => {
      const entry = domains.get(domain);
      return { domain: entry === undefined ? undefined : change(entry), result: undefined };
    });
  }

  async journal(domain?: string): Promise<readonly JournalEntry[]> {
    const entries: JournalEntry[] = [];
    const filter = domain === undefined ? {} : { domain };
    for await (const entry of new FileJournal(this.keysDir).read(filter)) entries.push(entry);
    return entries;
  }

  async end(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}
