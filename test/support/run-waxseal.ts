import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));

/** What a finished command left. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string | Buffer;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Runs `waxseal …` in a process of its own, with no more environment than given, to its end. */
export async function runWaxseal(
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd: options.cwd ?? '/',
    env: { PATH: process.env.PATH, ...options.env },
  });
  const finished = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  child.stdin.on('error', () => undefined); // a command that reads no input closes it early
  child.stdin.end(options.stdin ?? '');
  const [stdout, stderr] = await finished;
  return { code: child.exitCode, stdout, stderr };
}
