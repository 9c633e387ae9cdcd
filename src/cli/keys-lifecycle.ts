import { InvalidArgumentError } from 'commander';
import { BACKENDS } from '../keys/backends.ts';
import type { KeyringSnapshot } from '../keys/keyring-store.ts';
import { KeysError, KeysRefusal } from '../keys/keys-error.ts';
import type { LifecycleAccess } from '../keys/lifecycle/lifecycle-access.ts';
import type { RotationPolicy } from '../keys/lifecycle/policy.ts';
import { policyFinder } from '../keys/lifecycle/policy-for.ts';
import { RelayIndex } from '../keys/lifecycle/relay-index.ts';
import { sharedKeys } from '../keys/lifecycle/shared-keys.ts';
import type { StepWishes, StepWork } from '../keys/lifecycle/step-work.ts';
import { DEFAULT_TTL_S, type ManifestDomain } from '../keys/manifest.ts';
import type { CliContext } from './context.ts';
import type { ExitCode } from './exit-codes.ts';
import {
  type KeysParts,
  type KeysRun,
  type KeysSettings,
  type OpenLifecycle,
  runKeysCommand,
} from './keys-command.ts';

/** What a command about the life of keys works with while it runs. */
export interface LifecycleRun extends Omit<KeysRun, 'access'> {
  readonly access: LifecycleAccess;
  /** The keyring as it stood when the command began; read once, whatever the number of domains. */
  readonly snapshot: KeyringSnapshot;
  policyOf(domain: string): RotationPolicy;
  /** For carrying out steps of one domain. */
  work(domain: string, wishes?: Partial<StepWishes>): StepWork;
}

/** Runs the action of a command about the life of keys. */
export async function runLifecycleCommand(
  context: CliContext<KeysSettings>,
  parts: KeysParts,
  options: { readonly json: boolean; readonly command: string; readonly mayBeEmpty?: boolean },
  action: (run: LifecycleRun) => Promise<ExitCode>,
): Promise<void> {
  await runKeysCommand(context, parts, options.json, async (run) => {
    const progress = (text: string) => context.stderr(`${text}\n`);
    const opened = await parts.openLifecycle(run.settings, {
      command: options.command,
      progress,
      keyring: run.access,
    });
    try {
      return await action(await lifecycleRun(run, opened, options.mayBeEmpty === true));
    } finally {
      opened.close();
    }
  });
}

async function lifecycleRun(
  run: KeysRun,
  opened: OpenLifecycle,
  mayBeEmpty: boolean,
): Promise<LifecycleRun> {
  const snapshot = await readKeyring(opened.access, mayBeEmpty);
  const access = { ...opened.access, caller: callerOf(opened, snapshot) };
  const { rotation, maxStaleMs } = run.settings.keys;
  const policyOf = policyFinder(rotation, maxStaleMs);
  const usableAtOnce = new Set(
    Object.entries(BACKENDS).flatMap(([name, row]) => (row.usableAtOnce === true ? [name] : [])),
  );
  const isShared = sharedKeys(snapshot);
  const relays = new RelayIndex(() => access.reports(), access.clock);
  const work = (domain: string, wishes: Partial<StepWishes> = {}): StepWork => ({
    access,
    policy: policyOf(domain),
    wishes: { ...NO_WISHES, ...wishes },
    usableAtOnce,
    relays,
    fallBacks: run.settings.kms?.fallback === true,
    isShared,
  });
  return { ...run, access, snapshot, policyOf, work };
}

/** Where keys are in AWS, the journal names the one whom AWS lets in. Asked once. */
function callerOf(opened: OpenLifecycle, snapshot: KeyringSnapshot): LifecycleAccess['caller'] {
  const { access, awsCaller } = opened;
  const isInAws = [...snapshot.domains.values()].some(({ keys }) =>
    keys.some((key) => BACKENDS[key.backend].regional === true),
  );
  if (!isInAws || awsCaller === undefined) return () => access.caller();
  let caller: Promise<string> | undefined;
  return async () => {
    caller ??= awsCaller().then(async (arn) => arn ?? (await access.caller()));
    return await caller;
  };
}

const NO_WISHES: StepWishes = {
  wish: { kind: 'when-old' },
  algorithms: [],
  backend: undefined,
  ttlS: DEFAULT_TTL_S,
  subdomains: undefined,
  force: false,
  adopt: false,
  seen: {},
  reason: undefined,
};

/** The first command makes the keyring. */
async function readKeyring(access: LifecycleAccess, mayBeEmpty: boolean): Promise<KeyringSnapshot> {
  try {
    return await access.store.read();
  } catch (error) {
    const isMissing = error instanceof KeysError && error.code === 'keyring-missing';
    if (!isMissing || !mayBeEmpty) throw error;
    return { generation: 0, generations: new Map(), domains: new Map(), files: new Map() };
  }
}

/** @throws KeysRefusal `key-domain-unknown` */
export function entryOf(run: LifecycleRun, domain: string): ManifestDomain {
  const entry = run.snapshot.domains.get(domain);
  if (entry !== undefined) return entry;
  throw new KeysRefusal('key-domain-unknown', `the keyring has no domain ${domain}`, {
    hint: `"waxseal keys create ${domain}" makes its keys`,
  });
}

/** Argument parser for a time span: `90`, `90s`, `15m`, `2h`; gives milliseconds. */
export function durationArgument(text: string): number {
  const match = /^(\d{1,7})(s|m|h)?$/.exec(text);
  const unitMs = { s: 1000, m: 60_000, h: 3_600_000 };
  if (match === null) throw new InvalidArgumentError('It must be a time like 90s, 15m or 2h.');
  return Number(match[1]) * unitMs[(match[2] ?? 's') as keyof typeof unitMs];
}

/** Argument parser for a count. */
export function countArgument(text: string): number {
  const count = Number(text);
  if (/^\d{1,6}$/.test(text) && count >= 1) return count;
  throw new InvalidArgumentError('It must be a whole number from 1 to 999999.');
}

/** Argument parser for a reason; it goes into the journal for ever. */
export function reasonArgument(text: string): string {
  const reason = text.trim();
  if (reason !== '' && reason.length <= 500) return reason;
  throw new InvalidArgumentError('It must say why, in at most 500 characters.');
}
