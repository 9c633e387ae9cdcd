import { readdir, readFile, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { printable } from '../../base/printable.ts';
import { makeDirectory, writeFileAtomic } from '../atomic-write.ts';
import { KeysError, systemCode, systemReason } from '../keys-error.ts';
import type { ObjectPlace } from './object-place.ts';

/**
 * What relays say of themselves: which keyring they have in force, and which of its keys they can
 * use, after a probe with their own credentials. Before a key is activated, the command line asks
 * them; where there is no report, it waits `authLag` instead.
 */

export interface RelayReport {
  /** Unique to a running process. */
  readonly relay: string;
  /** When it was written: UTC, ISO 8601, as all times here. */
  readonly at: string;
  /** The next one comes before; an older report is of a relay that is gone, or cut off. Before `at`: it ended. */
  readonly goodUntil: string;
  readonly host: string;
  readonly version: string;
  readonly startedAt: string;
  /** The keyring's generation in force: every change up to it is followed. */
  readonly generation: number;
  /**
   * Keys that were tried: those that are not active yet, and active ones that cannot be used. A key
   * that is not listed was not tried.
   */
  readonly keys: readonly ReportedKey[];
  /** How many more there are than `keys` lists. */
  readonly keysMore: number;
  /** Retiring keys that sign, or signed, in place of their successors. Older relays say nothing. */
  readonly standIns?: readonly StandInReport[];
  /** When those that `standIns` has no room for signed last; undefined: there are none. */
  readonly standInsMoreAt?: string;
}

export interface StandInReport {
  readonly domain: string;
  readonly selector: string;
  /** When it signed last, by the relay's clock; while it goes on, when the report was written. */
  readonly at: string;
}

export interface ReportedKey {
  readonly domain: string;
  readonly selector: string;
  readonly usable: boolean;
  /** Why not. */
  readonly reason?: string;
}

/** Where reports lie: one implementation for each kind of store. */
export interface RelayReports {
  /** @throws KeysError when it cannot be written */
  write(report: RelayReport): Promise<void>;
  /** Takes the report of a relay away that ends. @throws KeysError */
  remove(relay: string): Promise<void>;
  /** All that are there, however old. @throws KeysError when nobody can say */
  read(): Promise<readonly RelayReport[]>;
}

/** Keys that a report lists at most; with more, those that cannot be used come first. */
export const MAX_LISTED_KEYS = 2000;
export const MAX_LISTED_STAND_INS = 1000;
const MAX_REPORT_BYTES = 900_000;
const MAX_REASON_CHARACTERS = 200;
/** Relays, and what killed ones left; a guard against a place that is none of ours. */
const MAX_REPORTS = 20_000;
const READ_AT_ONCE = 16;

/** Does the relay go on, as far as its report tells? */
export function isAlive(report: RelayReport, wallMs: number): boolean {
  return Date.parse(report.goodUntil) >= wallMs;
}

/** By host, when its latest relay was started. */
export function newestByHost(reports: readonly RelayReport[]): ReadonlyMap<string, string> {
  const newest = new Map<string, string>();
  for (const { host, startedAt } of reports) {
    if (startedAt > (newest.get(host) ?? '')) newest.set(host, startedAt);
  }
  return newest;
}

/** The last report of a relay: it ended, and is not waited for. */
export function isEnded({ at, goodUntil }: RelayReport): boolean {
  return Date.parse(goodUntil) < Date.parse(at);
}

/**
 * Can the relay use a key that is not active yet?
 *
 * @returns `not-yet`: it has not tried, or it has more to tell than its report lists
 */
export function canUse(
  report: RelayReport,
  key: { readonly domain: string; readonly selector: string },
): 'yes' | 'no' | 'not-yet' {
  const found = report.keys.find(
    ({ domain, selector }) => domain === key.domain && selector === key.selector,
  );
  if (found === undefined) return 'not-yet';
  return found.usable ? 'yes' : 'no';
}

/** Reports as `relays/RELAY.json` under the keyring's directory. */
export class FileReports implements RelayReports {
  readonly #dir: string;

  /** @param keyringDir `keys.dir` */
  constructor(keyringDir: string) {
    this.#dir = path.join(keyringDir, 'relays');
  }

  async write(report: RelayReport): Promise<void> {
    try {
      // A keyring that is gone (a volume, a copy that is being replaced) must not be made anew here.
      await stat(path.dirname(this.#dir));
      await makeDirectory(this.#dir, 0o750);
      await writeFileAtomic(this.#file(report.relay), Buffer.from(rendered(report)), 0o640);
    } catch (error) {
      throw this.#failed('keyring-unwritable', error);
    }
  }

  async remove(relay: string): Promise<void> {
    try {
      await unlink(this.#file(relay));
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw this.#failed('keyring-unwritable', error);
    }
  }

  async read(): Promise<readonly RelayReport[]> {
    try {
      const names = (await readdir(this.#dir)).filter((name) => /^[^.].*\.json$/.test(name));
      return await readAll(names, this.#dir, async (name) => {
        return await readSmall(path.join(this.#dir, name));
      });
    } catch (error) {
      if (error instanceof KeysError) throw error;
      if (systemCode(error) === 'ENOENT') return [];
      throw this.#failed('keyring-unreadable', error);
    }
  }

  #file(relay: string): string {
    return path.join(this.#dir, `${relay}.json`);
  }

  #failed(code: string, error: unknown): KeysError {
    const message = `the reports of relays in ${this.#dir} ${systemReason(error)}`;
    return new KeysError(code, message, { cause: error });
  }
}

/** Reports as one object each. */
export class ObjectReports implements RelayReports {
  readonly #place: ObjectPlace;

  constructor(place: ObjectPlace) {
    this.#place = place;
  }

  async write(report: RelayReport): Promise<void> {
    await this.#place.put('relay', report.relay, rendered(report), 'any');
  }

  async remove(relay: string): Promise<void> {
    await this.#place.remove('relay', relay);
  }

  async read(): Promise<readonly RelayReport[]> {
    const names = (await this.#place.list('relay')).map(({ name }) => name);
    return await readAll(names, this.#place.description, async (name) => {
      return (await this.#place.get('relay', name))?.text;
    });
  }
}

/**
 * All of them: a report that is left out might be the one of a relay that cannot use a key.
 *
 * @param where for the message
 * @throws KeysError `keyring-unreadable` when there are too many
 */
async function readAll(
  names: readonly string[],
  where: string,
  read: (name: string) => Promise<string | undefined>,
): Promise<readonly RelayReport[]> {
  if (names.length > MAX_REPORTS) {
    const message = `${where} has ${names.length} reports of relays; ${MAX_REPORTS} are allowed`;
    throw new KeysError('keyring-unreadable', message, {
      hint: 'remove those of relays that are gone',
    });
  }
  const sorted = [...names].sort();
  const reports: RelayReport[] = [];
  for (let start = 0; start < sorted.length; start += READ_AT_ONCE) {
    const texts = await Promise.all(sorted.slice(start, start + READ_AT_ONCE).map(read));
    for (const text of texts) {
      const report = text === undefined ? undefined : parsed(text);
      if (report !== undefined) reports.push(report);
    }
  }
  return reports;
}

/** A report that is gone by now, or is none, is no error: others tell enough. */
async function readSmall(file: string): Promise<string | undefined> {
  try {
    return (await stat(file)).size > MAX_REPORT_BYTES ? undefined : await readFile(file, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function rendered(report: RelayReport): string {
  return `${JSON.stringify(report)}\n`;
}

function parsed(text: string): RelayReport | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const keys = field(value, 'keys');
  if (word(value, 'relay') === '' || !Array.isArray(keys)) return undefined;
  return {
    relay: word(value, 'relay'),
    at: word(value, 'at'),
    goodUntil: word(value, 'goodUntil'),
    host: word(value, 'host'),
    version: word(value, 'version'),
    startedAt: word(value, 'startedAt'),
    generation: count(value, 'generation'),
    keys: keys.slice(0, MAX_LISTED_KEYS).map(reportedKey),
    keysMore: count(value, 'keysMore') + Math.max(0, keys.length - MAX_LISTED_KEYS),
    ...standInFields(value),
  };
}

function standInFields(value: unknown): Pick<RelayReport, 'standIns' | 'standInsMoreAt'> {
  const listed = field(value, 'standIns');
  if (!Array.isArray(listed)) return {};
  const all = listed.map(standIn).filter(({ at }) => isTime(at));
  const more = [
    word(value, 'standInsMoreAt'),
    ...all.slice(MAX_LISTED_STAND_INS).map(({ at }) => at),
  ];
  const moreAt = more.filter(isTime).sort().at(-1);
  const standIns = all.slice(0, MAX_LISTED_STAND_INS);
  return moreAt === undefined ? { standIns } : { standIns, standInsMoreAt: moreAt };
}

function standIn(value: unknown): StandInReport {
  const domain = word(value, 'domain');
  return { domain, selector: word(value, 'selector'), at: word(value, 'at') };
}

function isTime(text: string): boolean {
  return !Number.isNaN(Date.parse(text));
}

function reportedKey(value: unknown): ReportedKey {
  const domain = word(value, 'domain');
  const key = { domain, selector: word(value, 'selector') };
  if (field(value, 'usable') === true) return { ...key, usable: true };
  return { ...key, usable: false, reason: word(value, 'reason') };
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.getOwnPropertyDescriptor(value, name)?.value;
}

function word(value: unknown, name: string): string {
  const found = field(value, name);
  return typeof found === 'string' ? printable(found, MAX_REASON_CHARACTERS) : '';
}

function count(value: unknown, name: string): number {
  const found = field(value, name);
  return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0 ? found : 0;
}
