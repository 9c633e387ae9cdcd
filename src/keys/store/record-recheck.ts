import type { Clock } from '../../base/clock.ts';
import { checkRecord, type RecordCheck } from '../check-record.ts';
import { recordName } from '../key-name.ts';
import { KEY_STATE_ROWS } from '../key-state.ts';
import type { Keyring } from '../keyring.ts';
import type { ManifestKey } from '../manifest.ts';
import type { TxtLookup } from '../txt-lookup.ts';

/** A record that is not as it must be. */
export interface RecordFinding {
  readonly domain: string;
  readonly selector: string;
  /** Of the TXT record. */
  readonly name: string;
  readonly verdict: Exclude<RecordCheck['verdict'], 'seen'>;
  readonly reasons: readonly string[];
}

export interface RecordRecheckParts {
  /** The keyring in force. */
  readonly keyring: () => Keyring | undefined;
  readonly lookup: TxtLookup;
  readonly clock: Clock;
  /** `keys.recheckMs`: in this time every record is looked at once. */
  readonly intervalMs: number;
  /** A record is gone, changed, or could not be looked up three times in a row. */
  readonly onFinding: (finding: RecordFinding) => void;
  /** It is well again. */
  readonly onWell: (record: Pick<RecordFinding, 'domain' | 'selector' | 'name'>) => void;
  /** For the order and for jitter, 0 to 1; default `Math.random`. */
  readonly random?: () => number;
}

interface KeyAt {
  readonly domain: string;
  readonly key: ManifestKey;
}

/** Look-ups under way at one time; what is late is not caught up with a burst. */
const AT_ONCE = 8;
/** DNS that gives no answer says nothing of the record; said after so many times in a row. */
const UNKNOWN_TIMES = 3;
const JITTER = 0.2;
/** Without any record, and between two rounds at least. */
const IDLE_MS = 60_000;

/**
 * Looks whether the records of active and retiring keys still stand, one after the other, spread
 * over the interval. What it finds is said and changes nothing: a message without signature fares no
 * better than one whose key is gone, and the record may be back in a minute.
 */
export class RecordRecheck {
  readonly #parts: RecordRecheckParts;
  /** Names that are not well: how often in a row, and whether it was said in this round. */
  readonly #unwell = new Map<string, number>();
  #round: KeyAt[] = [];
  #waitMs = 0;
  #underWay = new Set<Promise<void>>();
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(parts: RecordRecheckParts) {
    this.#parts = parts;
  }

  start(): void {
    if (this.#parts.intervalMs > 0) this.#next();
  }

  /** Resolves when no look-up is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.settled();
  }

  /** Resolves when the look-ups of now have ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  #next(): void {
    const { clock, random = Math.random } = this.#parts;
    if (this.#stopped) return;
    if (this.#round.length === 0) this.#beginRound();
    const jitter = 1 + JITTER * (2 * random() - 1);
    this.#cancel = clock.after(this.#waitMs * jitter, () => {
      if (this.#underWay.size < AT_ONCE) this.#take();
      this.#next();
    });
  }

  /** Keys that come meanwhile are looked at in the next round: activation just looked at them. */
  #beginRound(): void {
    const { keyring, intervalMs, random = Math.random } = this.#parts;
    const records = [...(keyring()?.snapshot.domains.values() ?? [])].flatMap(({ domain, keys }) =>
      keys.filter(isInUse).map((key): KeyAt => ({ domain, key })),
    );
    const names = new Set(records.map(nameOf));
    for (const name of this.#unwell.keys()) if (!names.has(name)) this.#unwell.delete(name);
    this.#round = records
      .map((record) => ({ record, at: random() }))
      .sort((one, other) => one.at - other.at)
      .map(({ record }) => record);
    const isIdle = records.length === 0;
    this.#waitMs = isIdle ? Math.min(IDLE_MS, intervalMs) : intervalMs / records.length;
  }

  #take(): void {
    const planned = this.#round.pop();
    if (planned === undefined) return;
    const now = this.#parts.keyring()?.snapshot.domains.get(planned.domain);
    // It may have been revoked since the round began.
    const key = now?.keys.find(({ selector }) => selector === planned.key.selector);
    if (key === undefined || !isInUse(key)) return;
    const work = this.#check({ domain: planned.domain, key }).finally(() => {
      this.#underWay.delete(work);
    });
    this.#underWay.add(work);
  }

  async #check(record: KeyAt): Promise<void> {
    const { lookup, onFinding, onWell } = this.#parts;
    const { domain, key } = record;
    const { selector } = key;
    const check = await checkRecord(domain, key, lookup).catch(() => undefined);
    if (this.#stopped || check === undefined) return;
    const { name, verdict, reasons } = check;
    const times = this.#unwell.get(nameOf(record)) ?? 0;
    if (verdict === 'seen') {
      const wasSaid = times >= UNKNOWN_TIMES;
      this.#unwell.delete(nameOf(record));
      if (wasSaid) onWell({ domain, selector, name });
      return;
    }
    const next = verdict === 'unknown' ? times + 1 : Math.max(times + 1, UNKNOWN_TIMES);
    this.#unwell.set(nameOf(record), next);
    if (next >= UNKNOWN_TIMES) onFinding({ domain, selector, name, verdict, reasons });
  }
}

/** It signs, or mail that it signed is still under way. */
function isInUse(key: ManifestKey): boolean {
  const { record, fresh } = KEY_STATE_ROWS[key.state];
  return record === 'key' && !fresh;
}

function nameOf({ domain, key }: KeyAt): string {
  return recordName(key.selector, domain);
}
