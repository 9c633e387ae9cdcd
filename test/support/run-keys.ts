import { Command } from 'commander';
import { registerKeys } from '../../src/cli/keys.ts';
import type { KeysParts, KeysSettings } from '../../src/cli/keys-command.ts';

/** What a command left. */
export interface Ran {
  readonly code: number | undefined;
  readonly out: string;
  readonly err: string;
}

/**
 * Runs `waxseal keys ARGS` in this process.
 *
 * @param parts default: the machine's own
 * @throws CommanderError for a wrong command line; what the command throws
 */
export async function runKeysCommandLine(
  args: readonly string[],
  loadConfig: () => Promise<KeysSettings>,
  parts?: KeysParts,
): Promise<Ran> {
  const ran = { code: undefined as number | undefined, out: '', err: '' };
  const stdout = (text: string) => {
    ran.out += text;
  };
  const stderr = (text: string) => {
    ran.err += text;
  };
  const setExitCode = (code: number) => {
    ran.code = code;
  };
  const program = new Command('waxseal')
    .exitOverride()
    .configureOutput({ writeOut: stdout, writeErr: stderr });
  registerKeys(program, { stdout, stderr, isTty: false, loadConfig, setExitCode }, parts);
  await program.parseAsync(['keys', ...args], { from: 'user' });
  return ran;
}
