import type { Clock } from '../../base/clock.ts';
import { recordName } from '../key-name.ts';
import { compareRecord, parseKeyRecord } from '../key-record.ts';
import { KeysRefusal } from '../keys-error.ts';
import { MAX_TTL_S, MIN_TTL_S } from '../manifest.ts';
import { takeRequestIds } from '../request-trace.ts';
import type { KeySource } from './key-source.ts';
import type { StandingRecords } from './standing-record.ts';

/**
 * Publishers change only what they wrote. A record that somebody else wrote becomes ours by an
 * entry of the journal that says what stands there, octet for octet: from then on it is replaced
 * and removed like our own.
 */

/** What the journal is told; an entry of the journal as `keys history` shows it. */
export interface ImportEntry {
  /** UTC, ISO 8601. */
  readonly at: string;
  readonly caller: string;
  readonly command: string;
  readonly event: 'key-importing' | 'key-imported' | 'record-adopted';
  readonly domain: string;
  readonly selector: string;
  readonly record?: {
    readonly name: string;
    readonly type: 'TXT';
    readonly ttlS: number;
    /** The strings joined. */
    readonly value: string;
  };
  /**
   * `strings`: JSON, how the record's value is split; an API that deletes by value wants it
   * exactly. `origin`, `backend`, `publicKey`: of a key.
   */
  readonly details: Readonly<Record<string, string>>;
  /** Of AWS. */
  readonly requestIds?: readonly string[];
}

export interface ImportJournal {
  append(entry: ImportEntry): Promise<void>;
}

/** Who adopts, and by which means. */
export interface AdoptionParts {
  readonly standing: StandingRecords;
  /** Undefined where there is none: nothing can be adopted then. */
  readonly journal: ImportJournal | undefined;
  readonly clock: Clock;
  /** As the journal names people: a user, an ARN. */
  readonly caller: string;
}

/** A record that is to become ours. */
export interface AdoptableRecord {
  readonly name: string;
  readonly ttlS: number;
  readonly strings: readonly string[];
}

/**
 * Looks at the record that stands for a key and says whether it can be ours. Writes nothing.
 *
 * @throws KeysRefusal `key-record-not-adoptable`
 */
export async function adoptableRecord(
  source: KeySource,
  domain: string,
  selector: string,
  parts: Pick<AdoptionParts, 'standing' | 'journal'>,
): Promise<AdoptableRecord> {
  const name = recordName(selector, domain);
  if (parts.journal === undefined) {
    throw notAdoptable(name, 'this keyring has no journal to say so in');
  }
  const found = await parts.standing(name);
  if (found.kind !== 'one') throw notAdoptable(name, found.reason);
  const { strings, ttlS } = found;
  const parsed = parseKeyRecord(strings.join(''));
  if (parsed.kind === 'malformed') throw notAdoptable(name, `no key record: ${parsed.reason}`);
  const key = { algorithm: source.algorithm.name, publicKey: source.publicKey };
  const { mismatches } = compareRecord(parsed.record, key);
  if (mismatches.length > 0) throw notAdoptable(name, mismatches.join('; '));
  if (ttlS < MIN_TTL_S || ttlS > MAX_TTL_S) {
    const reason = `its TTL is ${ttlS} seconds; ${MIN_TTL_S} to ${MAX_TTL_S} are allowed`;
    throw notAdoptable(name, reason, 'change the TTL in the zone, then try again');
  }
  return { name, ttlS, strings };
}

/** Writes into the journal that the record is ours. */
export async function adoptRecord(
  record: AdoptableRecord,
  domain: string,
  selector: string,
  parts: AdoptionParts,
): Promise<void> {
  const value = record.strings.join('');
  await note(parts, 'record-adopted', domain, selector, {
    record: { name: record.name, type: 'TXT', ttlS: record.ttlS, value },
    details: { strings: JSON.stringify(record.strings) },
  });
}

/** Writes an entry, where there is a journal. */
export async function note(
  parts: AdoptionParts,
  event: ImportEntry['event'],
  domain: string,
  selector: string,
  more: Pick<ImportEntry, 'record' | 'details'>,
): Promise<void> {
  const at = new Date(parts.clock.wallMs()).toISOString();
  const { caller } = parts;
  const requestIds = takeRequestIds();
  await parts.journal?.append({
    ...{ at, caller, command: 'keys import', event, domain, selector },
    ...more,
    ...(requestIds.length > 0 && { requestIds }),
  });
}

function notAdoptable(name: string, reason: string, hint?: string): KeysRefusal {
  const message = `the record ${name} cannot be adopted: ${reason}`;
  return new KeysRefusal('key-record-not-adoptable', message, {
    hint: hint ?? 'import without --adopt-record leaves the record to whoever wrote it',
  });
}
