/** The processes of a run: each is ended by its own id, whatever happens. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';

export interface StartOptions {
  /** Standard output and error go to this file instead of being read as JSON lines. */
  readonly logFile?: string;
}

interface LineWaiter {
  readonly resolve: (line: string) => void;
  readonly reject: (error: Error) => void;
}

/** One running process. */
export class Child {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiting: LineWaiter[] = [];
  #errorText = '';
  /** Resolves with the exit status, or -1 after a signal. */
  readonly exited: Promise<number>;
  #hasExited = false;

  constructor(name: string, command: string, args: readonly string[], options: StartOptions) {
    this.name = name;
    const log = options.logFile === undefined ? undefined : openSync(options.logFile, 'a');
    this.#process = spawn(command, args, {
      stdio: ['pipe', log ?? 'pipe', log ?? 'pipe'],
    });
    if (log !== undefined) {
      closeSync(log);
    }
    this.exited = new Promise((resolve) => {
      this.#process.once('error', (error) => this.#end(-1, error.message, resolve));
      this.#process.once('close', (code) => this.#end(code ?? -1, '', resolve));
    });
    this.#process.stdin?.on('error', () => undefined);
    this.#process.stderr?.on('data', (text) => {
      this.#errorText = `${this.#errorText}${text}`.slice(-2000);
    });
    if (this.#process.stdout !== null) {
      createInterface({ input: this.#process.stdout }).on('line', (line) => this.#take(line));
    }
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** What it said on standard error, at most the last 2,000 characters. */
  get errorText(): string {
    return this.#errorText;
  }

  /** The next JSON line; throws if it holds `error`, or does not come in time. */
  async next<T>(timeoutMs = 60_000): Promise<T> {
    const line = this.#lines.shift() ?? (await this.#waitForLine(timeoutMs));
    const value = JSON.parse(line) as T & { error?: string };
    if (value.error !== undefined) {
      throw new Error(`${this.name}: ${value.error}`);
    }
    return value;
  }

  /** Sends a command word and waits for its answer. */
  ask<T>(word: string): Promise<T> {
    this.#process.stdin?.write(`${word}\n`);
    return this.next<T>();
  }

  /** SIGTERM, and SIGKILL when that does not help within 3 s. */
  async stop(): Promise<void> {
    if (this.#hasExited) {
      return;
    }
    this.#process.stdin?.end();
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.kill(), 3000);
    await this.exited;
    clearTimeout(timer);
  }

  kill(): void {
    if (!this.#hasExited) {
      this.#process.kill('SIGKILL');
    }
  }

  #waitForLine(timeoutMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#hasExited) {
        reject(new Error(`${this.name} has ended: ${this.#errorText}`));
        return;
      }
      const timer = setTimeout(
        () => reject(new Error(`${this.name} said nothing for ${timeoutMs} ms`)),
        timeoutMs,
      );
      this.#waiting.push({
        resolve: (line) => {
          clearTimeout(timer);
          resolve(line);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
    });
  }

  #take(line: string): void {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) {
      this.#lines.push(line);
    } else {
      waiter.resolve(line);
    }
  }

  #end(code: number, message: string, resolve: (code: number) => void): void {
    this.#hasExited = true;
    for (const waiter of this.#waiting.splice(0)) {
      waiter.reject(new Error(`${this.name} ended with ${code}: ${message}${this.#errorText}`));
    }
    resolve(code);
  }
}

const running = new Set<Child>();

/** Starts a program. */
export function startChild(
  name: string,
  command: string,
  args: readonly string[],
  options: StartOptions = {},
): Child {
  const child = new Child(name, command, args, options);
  running.add(child);
  child.exited.then(() => running.delete(child));
  return child;
}

/** Starts one of the bench's own programs, with as many open files as the system allows. */
export function startProgram(file: string, options: unknown): Child {
  const path = new URL(file, import.meta.url).pathname;
  return startChild(file, 'sh', withManyFiles([process.execPath, path, JSON.stringify(options)]));
}

/** Arguments of `sh` that raise the limit on open files, if that is allowed, and run a program. */
export function withManyFiles(command: readonly string[]): string[] {
  const script = 'ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec "$@"';
  return ['-c', script, 'sh', ...command];
}

/** How many files a program started by this module may have open. */
export function openFileLimit(): number {
  return Number(execFileSync('sh', withManyFiles(['sh', '-c', 'ulimit -n']), { encoding: 'utf8' }));
}

/** Ends everything that still runs. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((child) => child.stop()));
}

/** The last resort when the run itself is being ended. */
export function killAll(): void {
  for (const child of running) {
    child.kill();
  }
}
