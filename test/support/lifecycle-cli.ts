import type { KeysParts, KeysSettings } from '../../src/cli/keys-command.ts';
import type { RotationSetting } from '../../src/config/config.ts';
import { TxtTable } from './keyring.ts';
import type { LifecycleLab } from './lifecycle-lab.ts';
import { type Ran, runKeysCommandLine } from './run-keys.ts';

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
 * @param kms section `kms`; nothing of it is asked, the lab has keys of its own
 */
export async function runKeys(
  lab: LifecycleLab,
  rotation: RotationSetting | undefined,
  args: readonly string[],
  kms?: KeysSettings['kms'],
): Promise<Ran> {
  const parts: KeysParts = {
    clock: lab.clock,
    openLookup: () => Object.assign(new TxtTable(), { close: () => {} }),
    openLifecycle: async (_settings, { command, progress, earlyEnd }) => {
      lab.interrupt = () => earlyEnd.ask('SIGINT');
      return {
        access: { ...lab.access(command), progress, interruption: earlyEnd },
        close: () => {},
      };
    },
  };
  const settings: KeysSettings = {
    keys: { dir: '/nowhere', masterKeyFile: '', ...(rotation === undefined ? {} : { rotation }) },
    dns: { servers: [], timeoutMs: 1, attempts: 1 },
    ...(kms === undefined ? {} : { kms }),
  };
  return await runKeysCommandLine(args, async () => settings, parts);
}
