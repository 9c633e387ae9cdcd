import type { Clock } from '../../base/clock.ts';
import { errorMessage, type WaxsealError } from '../../base/errors.ts';
import { printable } from '../../base/printable.ts';
import { Turns } from '../../base/turns.ts';
import { isSameKey } from '../domain-entry.ts';
import { KEY_STATE_ROWS } from '../key-state.ts';
import type { KeyringHolder } from '../keyring-holder.ts';
import { KeysError } from '../keys-error.ts';
import type { ManifestKey } from '../manifest.ts';
import { probeSigner } from '../probe-signer.ts';
import {
  MAX_LISTED_KEYS,
  type RelayReport,
  type RelayReports,
  type ReportedKey,
} from './relay-reports.ts';

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
}

interface Probe {
  readonly domain: string;
  readonly key: ManifestKey;
  /** Undefined: it can be used. */
  readonly failure: string | undefined;
  readonly nextMs: number;
  readonly delayMs: number;
}

/** Between two reports of the same, and two tries to write one. */
export const HEARTBEAT_MS = 30_000;
/** Heartbeats that may be lost before a report counts for nothing. */
const GOOD_FOR_MS = 3 * HEARTBEAT_MS;
const PROBES_AT_ONCE = 4;
/** KMS permissions spread slowly: a probe that failed is repeated, twice as late each time. */
const FIRST_RETRY_MS = 10_000;
const LAST_RETRY_MS = 300_000;
/** Between two complaints that reports cannot be written. */
const TROUBLE_MS = 3_600_000;
/** A relay that was killed leaves its report; nobody goes by one that is so old. */
const FORGOTTEN_MS = 7 * 86_400_000;
/** One that is killed again and again leaves many: of a host, only the newest is kept for a week. */
const SUCCEEDED_MS = 3_600_000;
const PRUNE_MS = 3_600_000;

/**
 * Tries the keys that were never active, with this relay's credentials, and reports. Called after
 * each look at the keyring; probes run on beside the mail.
 */
export class RelayReporter {
  readonly #parts: RelayReporterParts;
  readonly #startedAt: string;
  readonly #probes = new Map<string, Probe>();
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

  /** Takes the report away: a relay that ended is not waited for. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.settled();
    await this.#parts.reports.remove(this.#parts.relay).catch(() => undefined);
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
    const { keyring } = this.#parts.holder;
    if (keyring === undefined) return;
    const fresh = [...keyring.snapshot.domains.values()].flatMap(({ domain, keys }) =>
      keys.filter((key) => KEY_STATE_ROWS[key.state].fresh).map((key) => ({ domain, key })),
    );
    const names = new Set(fresh.map(({ domain, key }) => `${key.selector}._domainkey.${domain}`));
    for (const name of this.#probes.keys()) if (!names.has(name)) this.#probes.delete(name);
    const queue = fresh.values();
    const probeNext = async () => {
      for (const { domain, key } of queue) if (!this.#stopped) await this.#probe(domain, key);
    };
    await Promise.all(Array.from({ length: PROBES_AT_ONCE }, probeNext));
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
      const newest = new Map<string, string>();
      for (const { host, startedAt } of all) {
        if (startedAt > (newest.get(host) ?? '')) newest.set(host, startedAt);
      }
      for (const { relay, host, at, startedAt } of all) {
        const isSucceeded = startedAt < (newest.get(host) ?? '');
        const keptMs = isSucceeded ? SUCCEEDED_MS : FORGOTTEN_MS;
        if (clock.wallMs() - Date.parse(at) > keptMs) await reports.remove(relay);
      }
    } catch (error) {
      if (!(error instanceof KeysError)) throw error; // another time
    }
  }

  async #probe(domain: string, key: ManifestKey): Promise<void> {
    const { holder, clock } = this.#parts;
    const name = `${key.selector}._domainkey.${domain}`;
    const known = this.#probes.get(name);
    const before = known !== undefined && isSameKey(known.key, key) ? known : undefined;
    if (before !== undefined && before.failure === undefined) return;
    if (before !== undefined && clock.monotonicMs() < before.nextMs) return;
    const delayMs = Math.min(2 * (before?.delayMs ?? FIRST_RETRY_MS / 2), LAST_RETRY_MS);
    const { selector, algorithm, publicKey, material } = key;
    let failure: string | undefined;
    try {
      const backend = await holder.backends.get(key.backend);
      await probeSigner(backend, { domain, selector, algorithm, publicKey, material });
    } catch (error) {
      failure = printable(errorMessage(error), 200);
    }
    const nextMs = clock.monotonicMs() + delayMs;
    this.#probes.set(name, { domain, key, failure, delayMs, nextMs });
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
    const text = JSON.stringify(state);
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
    const { holder, relay, host, version } = this.#parts;
    const keys = [...this.#brokenKeys(), ...this.#troubledKeys(), ...this.#probedKeys()];
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

  /** Keys that are open and could not be used when they were last tried: one before them may sign. */
  *#troubledKeys(): Generator<ReportedKey> {
    const { keyring } = this.#parts.holder;
    for (const domain of keyring?.snapshot.domains.keys() ?? []) {
      for (const { key, signer } of keyring?.entry(domain)?.signers ?? []) {
        const { trouble } = signer;
        if (trouble === undefined) continue;
        const reason = printable(trouble, 200);
        yield { domain, selector: key.selector, usable: false, reason };
      }
    }
  }

  *#probedKeys(): Generator<ReportedKey> {
    for (const { domain, key, failure: reason } of this.#probes.values()) {
      const { selector } = key;
      yield reason === undefined
        ? { domain, selector, usable: true }
        : { domain, selector, usable: false, reason };
    }
  }
}
