import { type Command, InvalidArgumentError } from 'commander';
import type { Clock } from '../base/clock.ts';
import { printable } from '../base/printable.ts';
import type { RotationSetting, StoreSetting } from '../config/config.ts';
import type { PublisherSetting } from '../keys/dns/publisher-settings.ts';
import type { DnsSettings } from '../keys/dns/seen-options.ts';
import { isSelector, toSigningDomain } from '../keys/key-name.ts';
import { keyringAccess, type OpenedKeyring } from '../keys/keyring-access.ts';
import { KeysRefusal } from '../keys/keys-error.ts';
import { Kms } from '../keys/kms/kms.ts';
import type { KmsSettings } from '../keys/kms/kms-settings.ts';
import type { LifecycleAccess } from '../keys/lifecycle/lifecycle-access.ts';
import { DEFAULT_TTL_S, MAX_TTL_S, MIN_TTL_S } from '../keys/manifest.ts';
import type { TxtLookup } from '../keys/txt-lookup.ts';
import type { CliContext } from './context.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { EarlyEnd, listenForEarlyEnd } from './interruption.ts';
import type { KeysImportParts } from './keys-import-parts.ts';
import { reportError } from './report-error.ts';

/** The slice of the configuration that the `keys` commands need. */
export interface KeysSettings {
  readonly keys: {
    readonly dir: string;
    readonly masterKeyFile: string;
    /** undefined: files in `dir`. */
    readonly store?: StoreSetting;
    /** undefined: the defaults. */
    readonly rotation?: RotationSetting;
    readonly maxStaleMs?: number;
  };
  readonly dns: DnsSettings;
  /** None in tests that publish nothing. */
  readonly publishers?: readonly PublisherSetting[];
  /** Absent: keys in KMS cannot be used. */
  readonly kms?: KmsSettings;
}

/** What the `keys` commands use besides their context; tests bring their own. */
export interface KeysParts extends KeysImportParts {
  readonly clock: Clock;
  /** Makes the look-up for key records; `close` ends it. */
  openLookup(settings: KeysSettings): TxtLookup & { close(): void };
  /** Makes what the steps of a key's life need; `close` ends it. */
  openLifecycle(settings: KeysSettings, run: LifecycleParts): Promise<OpenLifecycle>;
  /** Begins to listen to what ends a command early; undefined: nothing does. */
  listenForEarlyEnd?: typeof listenForEarlyEnd;
}

export interface LifecycleParts {
  /** For the journal, e.g. `keys rotate`. */
  readonly command: string;
  readonly progress: (text: string) => void;
  /** What ends the command early. */
  readonly earlyEnd: EarlyEnd;
  /** That of the command, which closes it. */
  readonly keyring: OpenedKeyring;
}

export interface OpenLifecycle {
  readonly access: LifecycleAccess;
  /** Who AWS says that we are; undefined when it does not. Asked where keys are in AWS. */
  awsCaller?(): Promise<string | undefined>;
  close(): void;
}

/** What one `keys` command works with while it runs. */
export interface KeysRun {
  readonly context: CliContext<KeysSettings>;
  readonly parts: KeysParts;
  readonly settings: KeysSettings;
  readonly access: OpenedKeyring;
  /** undefined where it is not configured. */
  readonly kms: Kms | undefined;
  readonly json: boolean;
}

/** Adds one command's description and action under `keys`. */
export type AddKeysCommand = (
  parent: Command,
  context: CliContext<KeysSettings>,
  parts: KeysParts,
) => void;

/**
 * Runs the action of a `keys` command: loads the configuration, turns what is thrown into a
 * message and sets the exit code. With `--json` a failure is an object on standard output too.
 */
export async function runKeysCommand(
  context: CliContext<KeysSettings>,
  parts: KeysParts,
  json: boolean,
  action: (run: KeysRun) => Promise<ExitCode>,
): Promise<void> {
  let kms: Kms | undefined;
  let access: OpenedKeyring | undefined;
  try {
    const settings = await context.loadConfig();
    kms = kmsFor(context, settings, parts.clock);
    access = keyringAccess({ ...settings.keys, kms }, parts.clock);
    context.setExitCode(await action({ context, parts, settings, access, kms, json }));
  } catch (error) {
    reportError(context, error, json);
    if (error instanceof KeysRefusal) context.setExitCode(EXIT.refused);
  } finally {
    access?.close();
    await kms?.close();
  }
}

/** KMS for one command; what the operator should know goes to standard error. */
function kmsFor(
  context: CliContext<KeysSettings>,
  { kms }: KeysSettings,
  clock: Clock,
): Kms | undefined {
  if (kms === undefined) return undefined;
  const warning = ({ message }: { readonly message: string }) =>
    context.stderr(`warning: ${printable(message)}\n`);
  return new Kms(kms, { clock, log: { warning, kmsCalls: () => undefined } });
}

/** One JSON document, for programs. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** Warnings go to standard error, so that they never mix with what is piped on. */
export function writeWarnings(run: Pick<KeysRun, 'context'>, warnings: readonly string[]): void {
  for (const warning of warnings) run.context.stderr(`warning: ${printable(warning)}\n`);
}

/** Argument parser for DOMAIN. */
export function domainArgument(text: string): string {
  const domain = toSigningDomain(text);
  if (domain === undefined) throw new InvalidArgumentError('It is no domain name.');
  return domain;
}

/** Argument parser for a selector. */
export function selectorArgument(text: string): string {
  const selector = text.toLowerCase();
  if (isSelector(selector)) return selector;
  throw new InvalidArgumentError(
    'It is no selector: letters, digits, hyphens, at most 63 characters.',
  );
}

/** Argument parser for a repeatable selector. */
export function selectorsArgument(text: string, others: readonly string[] = []): readonly string[] {
  return [...others, selectorArgument(text)];
}

/** Argument parser for the TTL of key records, in seconds. */
export function ttlArgument(text: string): number {
  const ttlS = Number(text);
  if (Number.isInteger(ttlS) && ttlS >= MIN_TTL_S && ttlS <= MAX_TTL_S) return ttlS;
  throw new InvalidArgumentError(`It must be a number of seconds, ${MIN_TTL_S} to ${MAX_TTL_S}.`);
}

/** The options that `create` and `import` share. */
export function addEntryOptions(command: Command): Command {
  return command
    .option('--subdomains', 'the domain also signs for subdomains without keys of their own')
    .option('--no-subdomains', 'the domain signs for itself only (default for a new domain)')
    .option('--ttl <seconds>', 'TTL of the DNS records', ttlArgument, DEFAULT_TTL_S)
    .option('--json', 'print JSON', false);
}
