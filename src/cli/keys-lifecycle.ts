import { InvalidArgumentError } from 'commander';
import type { BackendName } from '../keys/backend-names.ts';
import { BACKENDS } from '../keys/backends.ts';
import type { KeyringSnapshot } from '../keys/keyring-store.ts';
import { KeysError, KeysRefusal } from '../keys/keys-error.ts';
import type { LifecycleAccess } from '../keys/lifecycle/lifecycle-access.ts';
import type { RotationPolicy } from '../keys/lifecycle/policy.ts';
import { policyFinder } from '../keys/lifecycle/policy-for.ts';
import { RelayIndex } from '../keys/lifecycle/relay-index.ts';
import { sharedKeys } from '../keys/lifecycle/shared-keys.ts';
import type { StepWishes, StepWork } from '../keys/lifecycle/step-work.ts';
import type { ManifestDomain } from '../keys/manifest.ts';
import type { CliContext } from './context.ts';
import type { ExitCode } from './exit-codes.ts';
import { EarlyEnd } from './interruption.ts';
import {
  type KeysParts,
  type KeysRun,
  type KeysSettings,
  type OpenLifecycle,
  runKeysCommand,
} from './keys-command.ts';
import { printableLines } from './report-error.ts';

/** What a command about the life of keys works with while it runs. */
export interface LifecycleRun extends Omit<KeysRun, 'access'> {
  readonly access: LifecycleAccess;
  /** The keyring as it stood when the command began; read once, whatever the number of domains. */
  readonly snapshot: KeyringSnapshot;
  policyOf(domain: string): RotationPolicy;
  /** For carrying out steps of one domain. */
  work(domain: string, wishes?: Partial<StepWishes>): StepWork;
}

export interface LifecycleOptions {
  readonly json: boolean;
  /** For the journal, e.g. `keys rotate`. */
  readonly command: string;
  /** It begins with an empty keyring where there is none. */
  readonly mayBeEmpty?: boolean;
  /** It changes nothing: a signal may end it at any point. */
  readonly readOnly?: boolean;
  /** That of new keys, where it is named. */
  readonly backend?: BackendName | undefined;
  /** It is about this domain alone, and goes on though another part of the keyring is broken. */
  readonly only?: string | undefined;
}

/** Runs the action of a command about the life of keys. */
export async function runLifecycleCommand(
  context: CliContext<KeysSettings>,
  parts: KeysParts,
  options: LifecycleOptions,
  action: (run: LifecycleRun) => Promise<ExitCode>,
): Promise<void> {
  const { command } = options;
  const progress = (text: string) => context.stderr(`${printableLines(text)}\n`);
  const listening = parts.listenForEarlyEnd?.(options.readOnly === true ? undefined : progress);
  const earlyEnd = listening?.earlyEnd ?? new EarlyEnd();
  try {
    await runKeysCommand(context, parts, options.json, async (run) => {
      const keyring = run.access;
      const opened = await parts.openLifecycle(run.settings, {
        ...{ command, progress, earlyEnd, keyring },
      });
      try {
        const code = await action(await lifecycleRun(run, opened, options));
        return codeAfter(earlyEnd, code, progress);
      } finally {
        opened.close();
      }
    });
  } finally {
    listening?.close();
  }
}

/** That something was left undone counts for more than how the rest went. */
function codeAfter(earlyEnd: EarlyEnd, code: ExitCode, progress: (text: string) => void): ExitCode {
  const { outcome } = earlyEnd;
  if (outcome === undefined) return code;
  progress(`ended early (${outcome.cause}); the same command goes on from here`);
  return outcome.code;
}

async function lifecycleRun(
  run: KeysRun,
  opened: OpenLifecycle,
  options: LifecycleOptions,
): Promise<LifecycleRun> {
  const { snapshot, store } = await readKeyring(opened.access, options);
  const caller = callerOf(opened, snapshot, options.backend);
  const access = { ...opened.access, store, caller };
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
    configuredRegions: run.settings.kms?.regions ?? [],
    fallBacks: run.settings.kms?.fallback === true,
    isShared,
  });
  return { ...run, access, snapshot, policyOf, work };
}

/** Where keys are in AWS, the journal names the one whom AWS lets in. Asked once. */
function callerOf(
  opened: OpenLifecycle,
  snapshot: KeyringSnapshot,
  backend: BackendName | undefined,
): LifecycleAccess['caller'] {
  const { access, awsCaller } = opened;
  const isInAws =
    (backend !== undefined && BACKENDS[backend].inAws === true) ||
    [...snapshot.domains.values()].some(({ keys }) =>
      keys.some((key) => BACKENDS[key.backend].inAws === true),
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
  ttlS: undefined,
  subdomains: undefined,
  force: false,
  adopt: false,
  seen: {},
  reason: undefined,
};

interface ReadKeyring {
  readonly snapshot: KeyringSnapshot;
  /** To be used from now on. */
  readonly store: LifecycleAccess['store'];
}

/** The first command makes the keyring. */
async function readKeyring(
  { store, progress }: LifecycleAccess,
  { mayBeEmpty = false, only }: LifecycleOptions,
): Promise<ReadKeyring> {
  try {
    return { snapshot: await store.read(), store };
  } catch (error) {
    if (!(error instanceof KeysError)) throw error;
    if (error.code === 'keyring-missing' && mayBeEmpty) {
      const none = { generations: new Map(), domains: new Map(), files: new Map() };
      return { snapshot: { generation: 0, ...none }, store };
    }
    if (only === undefined) throw error;
    const around = { ...store.around(only), around: (domain: string) => store.around(domain) };
    const snapshot = await around.read();
    progress(
      `${error.message}; ${only} is not in that part, so this goes on. Domains there that share a key with it are not named`,
    );
    return { snapshot, store: around };
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
