/**
 * How the bench's own processes are steered: options as JSON in the first argument, one JSON
 * object a line on standard output, one command word a line on standard input. A process ends when
 * its standard input ends, so none outlives the run, however that ended.
 */
import { createInterface } from 'node:readline';

/** The options that the parent gave, as JSON in the first argument. */
export function readOptions<T>(): T {
  return JSON.parse(process.argv[2] ?? '{}') as T;
}

/** One JSON object to the parent. */
export function report(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Answers each command word with one JSON object; ends the process when the parent is gone. */
export function obey(commands: Readonly<Record<string, () => unknown>>): void {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const command = commands[line.trim()];
    report(command === undefined ? { error: `unknown command ${line}` } : command());
  });
  lines.on('close', () => process.exit(0));
}
