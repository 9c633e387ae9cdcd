import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { waitFor } from './wait-for.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out
const ESCAPES = /\u001b\[[0-9]*[A-Z]/g;

/** Text without the control sequences that place it (ECMA-48). */
export function plainText(written: string): string {
  return written.replaceAll(ESCAPES, '');
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** A program on a terminal of its own (`script` of util-linux), as a person has it. */
export class Terminal {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #output = '';

  /**
   * @param script path of the program, see `requirePeer`
   * @param argv program and arguments; none with a quote in it
   */
  constructor(
    script: string,
    argv: readonly string[],
    { columns, rows }: TerminalSize,
    env: Readonly<Record<string, string | undefined>> = {},
  ) {
    const command = `stty cols ${columns} rows ${rows}; exec ${argv.map((arg) => `'${arg}'`).join(' ')}`;
    this.#child = spawn(script, ['-qefc', command, '/dev/null'], {
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, SHELL: '/bin/sh', TERM: 'xterm', ...env },
    });
    this.#ended = once(this.#child, 'close');
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stdout?.on('data', (piece) => {
      this.#output += String(piece);
    });
  }

  /** All that was written so far. */
  get output(): string {
    return this.#output;
  }

  /** Waits until the output is as wished, or the program ends. */
  async shows(isSo: (output: string) => boolean): Promise<void> {
    const isOver = () => this.#child.exitCode !== null || this.#child.signalCode !== null;
    await waitFor('the terminal to show it', () => isSo(this.#output) || isOver(), 30_000);
    if (!isSo(this.#output)) throw new Error(`it ended and showed: ${this.#output}`);
  }

  /** Types something; `\u0003` is Ctrl-C. */
  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Waits for the end. @returns the exit code as a shell gives it: 130 after Ctrl-C */
  async end(): Promise<number | null> {
    await this.#ended;
    return this.#child.exitCode;
  }

  /** Ends it by force. */
  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill();
    await this.#ended;
  }
}
