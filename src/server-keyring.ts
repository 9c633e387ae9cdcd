import type { Clock } from './base/clock.ts';
import { WaxsealError } from './base/errors.ts';
import type { Log } from './base/log.ts';
import type { Config } from './config/config.ts';
import { KeyringHolder, type KeyringReload, type PreparedKeyring } from './keys/keyring-holder.ts';
import { KeyringWatch } from './keys/store/keyring-watch.ts';
import { keyringOptions } from './server-material.ts';

/** The same trouble is said again after this time, not at every look. */
const REPEAT_MS = 3_600_000;
/** Warnings of one change that are logged; the rest is counted. */
const MAX_WARNINGS = 50;

/** The keyring of a running relay: loaded, watched, and its events in the log. */
export class ServerKeyring {
  readonly holder: KeyringHolder;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #watch: KeyringWatch;
  #warned: ReadonlySet<string> = new Set();
  #trouble: { readonly text: string; readonly atMs: number } | undefined;

  private constructor(config: Config, log: Log, clock: Clock) {
    const { watchMs, maxStaleMs } = config.keys;
    this.holder = new KeyringHolder({ ...keyringOptions(config), clock, maxStaleMs });
    this.#log = log;
    this.#clock = clock;
    this.#watch = new KeyringWatch({
      holder: this.holder,
      clock,
      intervalMs: watchMs,
      onReload: (reload) => this.#onReload(reload),
      onLook: () => this.#onLook(),
    });
  }

  /**
   * Loads the keyring.
   *
   * @throws WaxsealError when it cannot be used
   */
  static async load(config: Config, log: Log, clock: Clock): Promise<ServerKeyring> {
    const keyring = new ServerKeyring(config, log, clock);
    const prepared = await keyring.prepare();
    prepared.commit();
    keyring.warn('start');
    return keyring;
  }

  startWatching(): void {
    this.#watch.start();
  }

  async stop(): Promise<void> {
    await this.#watch.stop();
    this.holder.close();
  }

  /** Reads it anew, for a reload of everything. @throws WaxsealError when nothing can be taken */
  async prepare(): Promise<Extract<PreparedKeyring, { kind: 'loaded' }>> {
    const prepared = await this.holder.prepare();
    if (prepared.kind === 'kept') throw prepared.error;
    return prepared;
  }

  /** Logs the warnings of the keyring in force; at a change only those that are new. */
  warn(when: 'start' | 'reload' | 'change'): void {
    const warnings = this.holder.keyring?.warnings ?? [];
    const told = when === 'change' ? this.#warned : new Set<string>();
    const news = warnings.filter((message) => !told.has(message));
    for (const message of news.slice(0, MAX_WARNINGS)) {
      this.#log.warning({ about: `keyring (${when})`, message });
    }
    if (news.length > MAX_WARNINGS) {
      const message = `${news.length - MAX_WARNINGS} more warnings; see "waxseal keys list"`;
      this.#log.warning({ about: `keyring (${when})`, message });
    }
    this.#warned = new Set(warnings);
  }

  #onReload(reload: KeyringReload): void {
    if (reload.kind === 'kept') {
      this.#complain(reload.error);
      return;
    }
    const { generation, domains } = reload.keyring;
    const what = ['keyring'];
    this.#log.reloaded({ what, by: 'watch', generation, domains: domains.length });
    this.warn('change');
    const [complaint] = reload.complaints;
    if (complaint !== undefined) this.#complain(complaint);
  }

  #complain(error: WaxsealError): void {
    const text = withHint(error);
    const nowMs = this.#clock.monotonicMs();
    const last = this.#trouble;
    if (last?.text === text && nowMs - last.atMs < REPEAT_MS) return;
    this.#trouble = { text, atMs: nowMs };
    this.#log.keyringTrouble({ reason: text });
  }

  #onLook(): void {
    const { fault, keyring } = this.holder;
    if (this.#trouble === undefined || fault !== undefined || keyring === undefined) return;
    if (this.holder.isConfirmed && keyring.standIns.size === 0) {
      this.#trouble = undefined;
      this.#log.keyringWell({ generation: keyring.generation });
    }
  }
}

/** A message with what the operator can do about it. */
export function withHint(error: unknown): string {
  if (!(error instanceof WaxsealError)) return error instanceof Error ? error.message : `${error}`;
  return error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
}
