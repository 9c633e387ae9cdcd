#!/usr/bin/env -S node --max-semi-space-size=4
import { hostname, tmpdir } from 'node:os';
import { processInput } from './cli/input.ts';
import { runCli } from './cli/run-cli.ts';

/*
 * The young generation of the heap is kept small: a relay's objects die at once, and at its usual
 * size it holds some 30 MiB more when hundreds of messages pass at a time.
 *
 * The only file that touches the process: arguments, environment, streams, exit code. The exit
 * code is set, and the process ends when nothing is left to do; so what is written gets out.
 */

// A reader that went away (`waxseal … | head`) is no reason for a stack trace, nor to leave a lease.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const stderr = (text: string): void => {
  process.stderr.write(text);
};

process.exitCode = await runCli({
  args: process.argv.slice(2),
  environment: process.env,
  system: { hostName: hostname(), temporaryDirectory: tmpdir() },
  stdout: (text) => {
    process.stdout.write(text);
  },
  stderr,
  exit: (code) => process.exit(code),
  isTty: process.stdout.isTTY === true,
  windowSize: () => ({ columns: process.stdout.columns, rows: process.stdout.rows }),
  // A getter in Node opens standard input; a command that does not read it must not do so.
  input: {
    get isTty() {
      return process.stdin.isTTY === true;
    },
    readAll: (maxBytes) => processInput(process.stdin, stderr).readAll(maxBytes),
    readSecret: (prompt) => processInput(process.stdin, stderr).readSecret(prompt),
  },
});
