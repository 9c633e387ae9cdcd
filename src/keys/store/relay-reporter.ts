import type { Clock } from '../../base/clock.ts';
import type { WaxsealError } from '../../base/errors.ts';
import { printable } from '../../base/printable.ts';
import { Turns } from '../../base/turns.ts';
import { KEY_STATE_ROWS } from '../key-state.ts';
import type { KeyringHolder } from '../keyring-holder.ts';
import { KeysError } from '../keys-error.ts';
import { KeyProbes, troubledKeys } from './key-probes.ts';
import {
  MAX_LISTED_KEYS,
  newestByHost,
  type RelayReport,
  type RelayReports,
  type ReportedKey,
} from './relay-reports.ts';
import { inheritStandIns, standInReport, tellsOfStandIns } from './stand-in-report.ts';

export interface RelayReporterParts {
  readonly holder: KeyringHolder;
  readonly reports: RelayReports;
  readonly clock: Clock;
  /** Unique to this process; letters, digits, `.` and `-`. */
  readonly relay: string;
  readonly host: string;
  readonly version: string;
  /** Reports cannot be written; said once an hour at most. */
  readonly onTrouble: (error: WaxsealError) => void;
  /** A key that stands by could be used, and cannot be used any more. */
  readonly onLost?: (key: ReportedKey) => void;
  /** For jitter, from 0 to 1; default `Math.random`. */
  readonly random?: () => number;
}

/** Between two reports of the same, and two tries to write one. */
export const HEARTBEAT_MS = 30_000;
/** Heartbeats that may be lost before a report counts for nothing. */
const GOOD_FOR_MS = 3 * HEARTBEAT_MS;
/** Between two complaints that reports cannot be written. */
const TROUBLE_MS = 3_600_000;
/** A relay that was killed leaves its report; nobody goes by one that is so old. */
const FORGOTTEN_MS = 7 * 86_400_000;
/** One that is killed again and again leaves many: of a host, only the newest is kept for a week. */
const SUCCEEDED_MS = 3_600_000;
const PRUNE_MS = 3_600_000;
/** Until when the report of a relay that ended is one of a relay that goes on. */
const NEVER_AGAIN = new Date(0).toISOString();

/**
 * Tries the keys that were never active, with this relay's credentials, and reports. Called after
 * each look at the keyring; probes run on beside the mail.
 */
export class RelayReporter {
  readonly #parts: RelayReporterParts;
  readonly #startedAt: string;
  readonly #probes: KeyProbes;
  #written: { readonly text: string; readonly atMs: number } | undefined;
  /** When it was tried last, whatever came of it. */
  #triedMs: number | undefined;
  /** When trouble was said last; undefined: the last report was written. */
  #troubleMs: number | undefined;
  #prunedMs: number | undefined;
  #work: Promise<void> | undefined;
  #beat: Promise<void> | undefined;
  readonly #turns = new Turns();
  #stopped = false;

  constructor(parts: RelayReporterParts) {
    this.#parts = parts;
    this.#probes = new KeyProbes(parts);
    this.#startedAt = new Date(parts.clock.wallMs()).toISOString();
  }

  /** Never rejects; while probes are under way it only keeps the report alive. */
  onLook(): void {
    if (this.#stopped) return;
    if (this.#work !== undefined) {
      this.#beatOn();
      return;
    }
    this.#work = this.#run().finally(() => {
      this.#work = undefined;
    });
  }

  /** Resolves when what was begun has ended. */
  async settled(): Promise<void> {
    await this.#work;
    await this.#beat;
  }

  /**
   * Takes the report away: a relay that ended is not waited for. What it says of retiring keys that
   * signed here stays: mail of theirs is under way.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.settled();
    const { reports, relay, clock } = this.#parts;
    const state = this.#state();
    const at = new Date(clock.wallMs()).toISOString();
    const last = { ...state, keys: [], keysMore: 0, at, goodUntil: NEVER_AGAIN };
    const ended = tellsOfStandIns(state) ? reports.write(last) : reports.remove(relay);
    await ended.catch(() => undefined);
  }

  /** Thousands of probes, or a KMS that is slow, must not make this relay look as if it were gone. */
  #beatOn(): void {
    const isDue = this.#parts.clock.monotonicMs() - (this.#triedMs ?? 0) >= HEARTBEAT_MS;
    if (!isDue || this.#beat !== undefined) return;
    this.#beat = this.#write().finally(() => {
      this.#beat = undefined;
    });
  }

  async #run(): Promise<void> {
    await this.#write();
    if (this.#parts.holder.keyring === undefined) return;
    await this.#probes.run(() => this.#stopped);
    if (this.#stopped) return;
    await this.#write();
    await this.#prune();
  }

  /** Pods have new names each time, and some are killed. */
  async #prune(): Promise<void> {
    const { reports, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (this.#troubleMs !== undefined) return;
    if (this.#prunedMs !== undefined && nowMs - this.#prunedMs < PRUNE_MS) return;
    this.#prunedMs = nowMs;
    try {
      const all = await reports.read();
      const newest = newestByHost(all);
      const old = all.filter(({ relay, host, at, startedAt }) => {
        const isSucceeded = startedAt < (newest.get(host) ?? '');
        const keptMs = isSucceeded ? SUCCEEDED_MS : FORGOTTEN_MS;
        return relay !== this.#parts.relay && clock.wallMs() - Date.parse(at) > keptMs;
      });
      const inherited = old.filter((report) => inheritStandIns(this.#parts.holder, report));
      this.#written = inherited.length > 0 ? undefined : this.#written;
      await this.#write();
      const isTaken = this.#troubleMs === undefined;
      for (const report of old) {
        if (isTaken || !inherited.includes(report)) await reports.remove(report.relay);
      }
    } catch (error) {
      if (!(error instanceof KeysError)) throw error; // another time
    }
  }

  /** One after the other, so that an older report never takes the place of a newer one. */
  #write(): Promise<void> {
    return this.#turns.run(async () => await this.#writeNow());
  }

  async #writeNow(): Promise<void> {
    const { reports, clock, onTrouble } = this.#parts;
    const nowMs = clock.monotonicMs();
    const isFailing = this.#troubleMs !== undefined;
    const sinceMs = nowMs - (this.#triedMs ?? Number.NEGATIVE_INFINITY);
    if (isFailing && sinceMs < HEARTBEAT_MS) return;
    const state = this.#state();
    const text = JSON.stringify(state, withoutTimes);
    if (this.#written?.text === text && nowMs - this.#written.atMs < HEARTBEAT_MS) return;
    this.#triedMs = nowMs;
    const wallMs = clock.wallMs();
    try {
      await reports.write({
        ...state,
        at: new Date(wallMs).toISOString(),
        goodUntil: new Date(wallMs + GOOD_FOR_MS).toISOString(),
      });
      this.#written = { text, atMs: nowMs };
      this.#troubleMs = undefined;
    } catch (error) {
      if (!(error instanceof KeysError)) throw error;
      if (this.#troubleMs !== undefined && nowMs - this.#troubleMs < TROUBLE_MS) return;
      this.#troubleMs = nowMs;
      onTrouble(error);
    }
  }

  #state(): Omit<RelayReport, 'at' | 'goodUntil'> {
    const { holder, relay, host, version, clock } = this.#parts;
    const keys = [...this.#brokenKeys(), ...this.#troubledKeys(), ...this.#probes.results()];
    // The newest are about to be activated; older ones stand by.
    const usable = keys.filter((key) => key.usable).reverse();
    const listed = [...keys.filter((key) => !key.usable), ...usable].slice(0, MAX_LISTED_KEYS);
    return {
      relay,
      host,
      version,
      startedAt: this.#startedAt,
      generation: holder.confirmedGeneration,
      keys: listed,
      keysMore: keys.length - listed.length,
      ...standInReport(holder, clock.wallMs()),
    };
  }

  *#brokenKeys(): Generator<ReportedKey> {
    const { keyring } = this.#parts.holder;
    if (keyring === undefined) return;
    for (const [domain, text] of new Map([...keyring.broken, ...keyring.standIns])) {
      const entry = keyring.entry(domain);
      const reason = printable(text, 200);
      for (const key of entry?.source.keys ?? []) {
        const isOpen = entry?.signers.some((one) => one.key.selector === key.selector) === true;
        if (KEY_STATE_ROWS[key.state].signs && !isOpen) {
          yield { domain, selector: key.selector, usable: false, reason };
        }
      }
    }
  }

  *#troubledKeys(): Generator<ReportedKey> {
    const { keyring } = this.#parts.holder;
    if (keyring === undefined) return;
    for (const { domain, key, trouble } of troubledKeys(keyring)) {
      const reason = printable(trouble, 200);
      yield { domain, selector: key.selector, usable: false, reason };
    }
  }
}

/** The times of keys that stand in change all the time; each heartbeat tells them. */
function withoutTimes(name: string, value: unknown): unknown {
  return name === 'at' || name === 'standInsMoreAt' ? undefined : value;
}
