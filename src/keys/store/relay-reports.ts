import { readdir, readFile, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { printable } from '../../base/printable.ts';
import { makeDirectory, writeFileAtomic } from '../atomic-write.ts';
import { KeysError, systemCode, systemReason } from '../keys-error.ts';
import type { ObjectPlace } from './object-place.ts';

/**
 * What relays say of themselves: which keyring they have in force, and which of its keys they
 * cannot use, after a probe with their own credentials. Before a key is activated, the command line
 * asks them; where there is no report, it waits `authLag` instead.
 */

export interface RelayReport {
  /** Unique to a running process. */
  readonly relay: string;
  readonly host: string;
  readonly version: string;
  /** UTC, ISO 8601, as the next two. */
  readonly startedAt: string;
  readonly heartbeatAt: string;
  /** The next heartbeat comes before; a report that is older is of a relay that is gone, or cut off. */
  readonly goodUntil: string;
  /** The keyring's generation in force: what a change made at it or before is followed. */
  readonly generation: number;
  /** Every key of the keyring at this generation was tried; not above `generation`. */
  readonly probedGeneration: number;
  /** Keys, active or about to be, that this relay cannot use. */
  readonly unusable: readonly UnusableKey[];
  /** How many more there are than `unusable` lists. */
  readonly unusableMore: number;
}

export interface UnusableKey {
  readonly domain: string;
  readonly selector: string;
  readonly reason: string;
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

/** Keys that a report lists at most. */
export const MAX_LISTED_KEYS = 200;
const MAX_REPORT_BYTES = 256 * 1024;
const MAX_REPORTS = 1000;

/** Does the relay go on, as far as its report tells? */
export function isAlive(report: RelayReport, wallMs: number): boolean {
  return Date.parse(report.goodUntil) >= wallMs;
}

/**
 * Can the relay use a key?
 *
 * @param generation of the keyring when the key came into it
 * @returns `not-yet`: it has not tried; or it has more trouble than its report lists
 */
export function canUse(
  report: RelayReport,
  key: { readonly domain: string; readonly selector: string },
  generation: number,
): 'yes' | 'no' | 'not-yet' {
  const isListed = report.unusable.some(
    ({ domain, selector }) => domain === key.domain && selector === key.selector,
  );
  if (isListed) return 'no';
  if (report.probedGeneration < generation || report.unusableMore > 0) return 'not-yet';
  return 'yes';
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
      const reports: RelayReport[] = [];
      for (const name of names.sort().slice(0, MAX_REPORTS)) {
        const file = path.join(this.#dir, name);
        const text = await readSmall(file);
        const report = text === undefined ? undefined : parsed(text);
        if (report !== undefined) reports.push(report);
      }
      return reports;
    } catch (error) {
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
    const listed = (await this.#place.list('relay')).slice(0, MAX_REPORTS);
    const reports: RelayReport[] = [];
    for (const { name } of listed) {
      const text = (await this.#place.get('relay', name))?.text;
      const report = text === undefined ? undefined : parsed(text);
      if (report !== undefined) reports.push(report);
    }
    return reports;
  }
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
  const field = (from: unknown, name: string): unknown =>
    typeof from === 'object' && from !== null
      ? Object.getOwnPropertyDescriptor(from, name)?.value
      : undefined;
  const word = (from: unknown, name: string): string => {
    const found = field(from, name);
    return typeof found === 'string' ? printable(found, 300) : '';
  };
  const count = (name: string): number => {
    const found = field(value, name);
    return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0 ? found : 0;
  };
  const unusable = field(value, 'unusable');
  if (word(value, 'relay') === '' || !Array.isArray(unusable)) return undefined;
  return {
    relay: word(value, 'relay'),
    host: word(value, 'host'),
    version: word(value, 'version'),
    startedAt: word(value, 'startedAt'),
    heartbeatAt: word(value, 'heartbeatAt'),
    goodUntil: word(value, 'goodUntil'),
    generation: count('generation'),
    probedGeneration: count('probedGeneration'),
    unusable: unusable.slice(0, MAX_LISTED_KEYS).map((key) => ({
      domain: word(key, 'domain'),
      selector: word(key, 'selector'),
      reason: word(key, 'reason'),
    })),
    unusableMore: count('unusableMore') + Math.max(0, unusable.length - MAX_LISTED_KEYS),
  };
}
