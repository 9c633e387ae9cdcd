import { checkRecord, type RecordCheck } from '../check-record.ts';
import { BY_HAND } from '../dns/publisher.ts';
import { KEY_STATE_ROWS } from '../key-state.ts';
import type { KeyringAccess } from '../keyring-access.ts';
import type { KeyringSnapshot } from '../keyring-store.ts';
import { KeysError, KeysRefusal } from '../keys-error.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { tracingRequests } from '../request-trace.ts';
import type { TxtLookup } from '../txt-lookup.ts';
import {
  type AdoptableRecord,
  type AdoptionParts,
  adoptableRecord,
  adoptRecord,
  note,
} from './adopt-record.ts';
import type { KeySource } from './key-source.ts';
import {
  domainEntry,
  refuseKnown,
  type TakenState,
  type TakeOverRequest,
  takenFields,
  takenKey,
  takeOver,
} from './take-over.ts';

/**
 * One import, in order: is the name free; what stands in DNS; may that become ours; then the
 * journal; then the back end and the keyring. A dry run ends before the journal. A run that was
 * killed is simply run again: what is there already is left as it is.
 */

export interface ImportSourceRequest extends TakeOverRequest {
  /** Make the record that stands in DNS ours; the key comes in as `verified` then. */
  readonly adoptRecord: boolean;
  /** Take it although another record stands at its name. */
  readonly force: boolean;
  readonly dryRun: boolean;
}

/** What an import asks and tells besides the keyring. */
export interface ImportParts extends AdoptionParts {
  readonly lookup: TxtLookup;
}

export interface ImportedKey {
  readonly outcome: 'imported' | 'already-there' | 'would-import';
  readonly domain: ManifestDomain;
  readonly key: ManifestKey;
  readonly record: RecordCheck;
  /** True when the record that stands is ours from now on (or would be, in a dry run). */
  readonly recordAdopted: boolean;
  readonly warnings: readonly string[];
}

/**
 * Imports one key.
 *
 * @throws KeysError, KeysRefusal as `takeOver`; `key-record-other` when another record stands at
 *   its name, `key-record-not-adoptable`
 */
export async function importSource(
  access: KeyringAccess,
  source: KeySource,
  request: ImportSourceRequest,
  parts: ImportParts,
): Promise<ImportedKey> {
  return await tracingRequests(async () => await importOne(access, source, request, parts));
}

async function importOne(
  access: KeyringAccess,
  source: KeySource,
  request: ImportSourceRequest,
  parts: ImportParts,
): Promise<ImportedKey> {
  const { domain: name, selector } = request;
  const before = domainEntry(await snapshotOf(access), name);
  const known = before.keys.find(
    (key) => key.selector === selector && key.publicKey === source.publicKey,
  );
  if (known === undefined) refuseKnown(before, source, selector);
  const planned = known ?? takenKey(source, request, { state: 'created' }, access.clock.wallMs());
  const record = await checkRecord(name, planned, parts.lookup);
  const told = { record, recordAdopted: false, warnings: warningsOf(record) };
  if (known !== undefined && !request.adoptRecord) {
    return { outcome: 'already-there', domain: before, key: known, ...told };
  }
  if (record.verdict === 'mismatch' && !request.force) throw otherRecord(record);
  const adoptable = request.adoptRecord
    ? await adoptableRecord(source, name, selector, parts)
    : undefined;
  const recordAdopted = adoptable !== undefined;
  if (request.dryRun) {
    const outcome = known === undefined ? 'would-import' : 'already-there';
    const keys = known === undefined ? [...before.keys, planned] : before.keys;
    return { outcome, domain: { ...before, keys }, key: planned, ...told, recordAdopted };
  }
  if (adoptable !== undefined) await adoptRecord(adoptable, name, selector, parts);
  if (known !== undefined) {
    const domain = await noteAdoption(access, name, selector, adoptable);
    const key = domain.keys.find((candidate) => candidate.selector === selector) ?? known;
    return { outcome: 'already-there', domain, key, ...told, recordAdopted };
  }
  const { taken, ttlS } = stateOf(adoptable, request.ttlS, access.clock.wallMs());
  const { origin, backend, publicKey } = source;
  const details = { origin, backend, publicKey };
  await note(parts, 'key-importing', name, selector, { details });
  const added = await takeOver(access, source, { ...request, ttlS }, taken);
  await note(parts, 'key-imported', name, selector, { details });
  const [key = planned] = added.added;
  return {
    outcome: 'imported',
    domain: added.domain,
    key,
    record,
    recordAdopted,
    warnings: [...told.warnings, ...added.warnings],
  };
}

/** A key that was imported before its record was adopted. */
async function noteAdoption(
  access: KeyringAccess,
  name: string,
  selector: string,
  adopted: AdoptableRecord | undefined,
): Promise<ManifestDomain> {
  return await access.store.change(async (current) => {
    const before = domainEntry(current, name);
    const { taken, ttlS } = stateOf(adopted, 0, access.clock.wallMs());
    if (adopted === undefined) return { domain: undefined, result: before };
    const keys = before.keys.map((key) => {
      if (key.selector !== selector) return key;
      const fresh = KEY_STATE_ROWS[key.state].fresh ? takenFields(taken) : {};
      return { ...key, ...fresh, ttlS };
    });
    const domain = { ...before, keys };
    return { domain, result: domain };
  });
}

/** A keyring that is not there yet is an empty one. */
async function snapshotOf(access: KeyringAccess): Promise<KeyringSnapshot> {
  try {
    return await access.store.read();
  } catch (error) {
    if (!(error instanceof KeysError) || error.code !== 'keyring-missing') throw error;
    return { generation: 0, generations: new Map(), domains: new Map(), files: new Map() };
  }
}

/** An adopted record is there and right: its TTL holds, and only `activate` is left to do. */
function stateOf(
  adopted: AdoptableRecord | undefined,
  ttlS: number,
  wallMs: number,
): { taken: TakenState; ttlS: number } {
  if (adopted === undefined) return { taken: { state: 'created' }, ttlS };
  const seenAt = new Date(wallMs).toISOString();
  // `print`: a person wrote it, and no publisher of ours.
  return { taken: { state: 'verified', publisher: BY_HAND, seenAt }, ttlS: adopted.ttlS };
}

function warningsOf(record: RecordCheck): string[] {
  const reasons = record.verdict === 'seen' ? record.warnings : record.reasons;
  return reasons.map((reason) => `${record.name}: ${reason}`);
}

function otherRecord(record: RecordCheck): KeysRefusal {
  const message = `the record ${record.name} does not belong to this key: ${record.reasons.join('; ')}`;
  return new KeysRefusal('key-record-other', message, {
    hint: 'is it the right selector and the right key? --force imports it all the same',
  });
}
