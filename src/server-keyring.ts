import { randomBytes } from 'node:crypto';
import { getServers } from 'node:dns';
import { hostname } from 'node:os';
import type { Clock } from './base/clock.ts';
import { WaxsealError } from './base/errors.ts';
import type { Log } from './base/log.ts';
import { StubResolver } from './base/resolver.ts';
import type { Config } from './config/config.ts';
import { KeyringHolder, type KeyringReload, type PreparedKeyring } from './keys/keyring-holder.ts';
import { Kms } from './keys/kms/kms.ts';
import { KeyringWatch } from './keys/store/keyring-watch.ts';
import { RecordRecheck } from './keys/store/record-recheck.ts';
import { RelayReporter } from './keys/store/relay-reporter.ts';
import type { ReportedKey } from './keys/store/relay-reports.ts';
import { resolverTxtLookup } from './keys/txt-lookup.ts';
import { keyringOptions } from './server-material.ts';

/** The same trouble is said again after this time, not at every look. */
const REPEAT_MS = 3_600_000;
/** A service that does not answer once is no trouble yet; the third look in a row says so. */
const PASSING_CODES: ReadonlySet<string> = new Set([
  'keyring-unreadable',
  'kubernetes-unreachable',
]);
const PASSING_LOOKS = 3;
/** Warnings of one change that are logged; the rest is counted. */
const MAX_WARNINGS = 50;
/** Answers that the re-check of records may take from memory are this old at most. */
const RECHECK_TTL_S = 60;

export interface ServerKeyringParts {
  readonly config: Config;
  readonly log: Log;
  readonly clock: Clock;
  readonly version: string;
}

/** The keyring of a running relay: loaded, watched, and its events in the log. */
export class ServerKeyring {
  readonly holder: KeyringHolder;
  readonly #kms: Kms;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #watch: KeyringWatch;
  readonly #reporter: RelayReporter;
  readonly #resolver: StubResolver;
  readonly #recheck: RecordRecheck;
  #warned: ReadonlySet<string> = new Set();
  #reportTrouble: string | undefined;
  #failedLooks = 0;
  #trouble: { readonly text: string; readonly atMs: number } | undefined;

  private constructor({ config, log, clock, version }: ServerKeyringParts) {
    this.#kms = new Kms(config.kms, { clock, log, mayBeginEarly: true });
    const { watchMs, maxStaleMs, recheckMs } = config.keys;
    this.holder = new KeyringHolder({ ...keyringOptions(config, this.#kms), clock, maxStaleMs });
    this.#log = log;
    this.#clock = clock;
    this.#watch = new KeyringWatch({
      holder: this.holder,
      clock,
      intervalMs: watchMs,
      onReload: (reload) => this.#onReload(reload),
      onLook: () => this.#onLook(),
    });
    this.#reporter = new RelayReporter({
      holder: this.holder,
      reports: this.holder.opened.reports,
      clock,
      relay: relayName(),
      host: hostname(),
      version,
      onTrouble: (error) => this.#onReportTrouble(error),
      onLost: (key) => this.#onLostKey(key),
    });
    this.#resolver = new StubResolver({
      ...config.dns,
      servers: config.dns.servers.length > 0 ? config.dns.servers : getServers(),
      maxTtlS: Math.min(config.dns.maxTtlS, RECHECK_TTL_S),
      maxNegativeTtlS: Math.min(config.dns.maxNegativeTtlS, RECHECK_TTL_S),
      cacheEntries: 100,
      clock,
    });
    this.#recheck = new RecordRecheck({
      keyring: () => this.holder.keyring,
      lookup: resolverTxtLookup(this.#resolver),
      clock,
      intervalMs: recheckMs,
      onFinding: (finding) => log.recordFinding(finding),
      onWell: (record) => log.recordWell(record),
    });
  }

  /**
   * Loads the keyring.
   *
   * @throws WaxsealError when it cannot be used
   */
  static async load(parts: ServerKeyringParts): Promise<ServerKeyring> {
    const keyring = new ServerKeyring(parts);
    const prepared = await keyring.prepare();
    if (prepared.kind === 'kept') {
      await keyring.stop();
      throw prepared.error;
    }
    prepared.commit();
    keyring.warn('start');
    return keyring;
  }

  /** Follows the keyring from now on, reports, and looks after the records in DNS. */
  start(): void {
    this.#watch.start();
    this.#recheck.start();
    this.#reporter.onLook();
  }

  async stop(): Promise<void> {
    const recheck = this.#recheck.stop();
    this.#resolver.close(); // no look-up is worth waiting for
    await Promise.all([this.#watch.stop(), recheck]);
    await this.#kms.close(); // no probe is either
    await this.#reporter.stop();
    this.holder.close();
  }

  /** Reads it anew, for a reload of everything. Never throws. */
  async prepare(): Promise<PreparedKeyring> {
    return await this.holder.prepare();
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
    this.#failedLooks += 1;
    if (PASSING_CODES.has(error.code) && this.#failedLooks < PASSING_LOOKS) return;
    const text = withHint(error);
    const nowMs = this.#clock.monotonicMs();
    const last = this.#trouble;
    if (last?.text === text && nowMs - last.atMs < REPEAT_MS) return;
    this.#trouble = { text, atMs: nowMs };
    this.#log.keyringTrouble({ reason: text });
  }

  #onReportTrouble(error: WaxsealError): void {
    if (this.#reportTrouble === error.message) return;
    this.#reportTrouble = error.message;
    const message = `${error.message}: "waxseal keys" cannot see what this relay can use, and waits instead`;
    this.#log.warning({ about: 'relay reports', message });
  }

  #onLostKey({ domain, selector, reason }: ReportedKey): void {
    const message = `${domain}: this relay could use the key ${selector}, which is not active yet, and cannot any more: ${reason}`;
    this.#log.warning({ about: 'standby key', message });
  }

  #onLook(): void {
    this.#reporter.onLook();
    const { fault, keyring } = this.holder;
    if (this.holder.isConfirmed) this.#failedLooks = 0;
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

/** Unique to this process, and good as the name of a file, a ConfigMap and an object. */
function relayName(): string {
  const host = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')
    .slice(0, 60);
  return `${host.replace(/^[.-]+|[.-]+$/g, '') || 'relay'}-${process.pid}-${randomBytes(4).toString('hex')}`;
}
