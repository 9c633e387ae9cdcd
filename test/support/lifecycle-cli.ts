import { Command } from 'commander';
import { registerKeys } from '../../src/cli/keys.ts';
import type { KeysParts, KeysSettings } from '../../src/cli/keys-command.ts';
import type { RotationSetting } from '../../src/config/config.ts';
import { TxtTable } from './keyring.ts';
import type { LifecycleLab } from './lifecycle-lab.ts';

/** What a command left. */
export interface Ran {
  readonly code: number | undefined;
  readonly out: string;
  readonly err: string;
}

/** `keys.rotation` as it is when nobody sets it. */
export const habits = {
  rotateAfterDays: 180,
  retireAfterDays: 7,
  removeAfterDays: 30,
  queueLifetimeDays: 5,
  authLagMs: 300_000,
  standby: false,
  names: 'dated',
  reveal: '',
  domains: [],
} as const;

/**
 * Runs `waxseal keys ARGS` on a lab.
 *
 * @param rotation `keys.rotation`; undefined: the defaults
 */
export async function runKeys(
  lab: LifecycleLab,
  rotation: RotationSetting | undefined,
  args: readonly string[],
  dns = new TxtTable(),
): Promise<Ran> {
  let out = '';
  let err = '';
  let code: number | undefined;
  const stdout = (text: string) => {
    out += text;
  };
  const stderr = (text: string) => {
    err += text;
  };
  const program = new Command('waxseal')
    .exitOverride()
    .configureOutput({ writeOut: stdout, writeErr: stderr });
  const parts: KeysParts = {
    clock: lab.clock,
    openLookup: () => Object.assign(dns, { close: () => {} }),
    openLifecycle: async (_settings, { command, progress }) => ({
      access: { ...lab.access(command), progress },
      close: () => {},
    }),
  };
  const settings: KeysSettings = {
    keys: { dir: '/nowhere', masterKeyFile: '', ...(rotation === undefined ? {} : { rotation }) },
    dns: { servers: [], timeoutMs: 1, attempts: 1 },
  };
  const setExitCode = (value: number) => {
    code = value;
  };
  const context = {
    stdout,
    stderr,
    isTty: false,
    loadConfig: async () => settings,
    setExitCode,
  };
  registerKeys(program, context, parts);
  await program.parseAsync(['keys', ...args], { from: 'user' });
  return { code, out, err };
}
