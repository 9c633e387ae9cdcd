import type { Publisher, PublishResult, RecordChange } from '../dns/publisher.ts';
import { recordName } from '../key-name.ts';
import { recordValue, revokedRecordValue } from '../key-record.ts';
import type { ManifestKey } from '../manifest.ts';
import { type LifecycleAccess, note } from './lifecycle-access.ts';

/**
 * Key records, written so that a run which was killed at any point is taken up again. The journal
 * gets name, TTL and value *before* the publisher is asked (`record-intended`) and again when it
 * has answered (`record-written`, `record-removed`; `record-refused`: nothing was written, so the
 * intention makes nothing ours). What stands in DNS is ours only when the
 * journal knows its value; nothing else is ever replaced or removed.
 */

export const RECORD_EVENTS = {
  intended: 'record-intended',
  removing: 'record-removing',
  written: 'record-written',
  removed: 'record-removed',
  refused: 'record-refused',
  handedOver: 'record-handed-over',
  adopted: 'record-adopted',
} as const;

/** What is to stand in DNS for a key. */
export interface RecordWish {
  readonly key: ManifestKey;
  readonly record: 'key' | 'revoked' | 'none';
}

export interface RecordWriteOptions {
  /** Take over a record that stands there already and is exactly the one to be written. */
  readonly adopt?: boolean;
}

interface OwnRecord {
  readonly value: string;
  readonly ttlS: number;
  /** Not only meant to be written. */
  readonly isWritten: boolean;
}

/**
 * Writes the records of keys of one domain, all that can be. To be called under the domain's lease.
 *
 * @returns what the publisher said, of the first one that is refused if one is; `written` too when it
 *   had been written before
 */
export async function writeRecords(
  access: LifecycleAccess,
  publisher: Publisher,
  domain: string,
  wishes: readonly RecordWish[],
  options: RecordWriteOptions = {},
): Promise<PublishResult> {
  const own = await ownRecords(access, domain);
  const writes = wishes
    .map(
      (wish): RecordWrite => ({
        selector: wish.key.selector,
        change: changeFor(domain, wish, own),
      }),
    )
    .filter(({ change }) => change.before !== undefined || change.after !== undefined);
  if (writes.length === 0) return { kind: 'written', detail: 'there is no record of ours' };
  await noteWrites(access, domain, writes, RECORD_EVENTS.intended, RECORD_EVENTS.removing);
  const together = await publisher.apply(writes.map(({ change }) => change));
  if (together.kind !== 'in-the-way') {
    return await noteResult(access, domain, writes, together);
  }
  // One of them is in the way, or was written before the last run was killed.
  let last: PublishResult = together;
  let refused: PublishResult | undefined;
  for (const write of writes) {
    const known = own.get(write.change.name) ?? [];
    const result = await applyOne(publisher, write.change, known, options);
    if (result.kind === 'failed') return result;
    if (result.kind === 'in-the-way') {
      // What stands in the way of one keeps no other from being withdrawn.
      await noteRefused(access, domain, [write]);
      refused ??= result;
    } else last = await noteResult(access, domain, [write], result);
  }
  return refused ?? last;
}

interface RecordWrite {
  readonly selector: string;
  readonly change: RecordChange;
}

async function applyOne(
  publisher: Publisher,
  change: RecordChange,
  own: readonly OwnRecord[],
  options: RecordWriteOptions,
): Promise<PublishResult> {
  const result = await publisher.apply([change]);
  if (result.kind !== 'in-the-way') return result;
  const [found, ...others] = result.found;
  const done: PublishResult = { kind: 'written', detail: 'it stood there already' };
  if (others.length > 0) return result;
  if (found === undefined) {
    if (change.after === undefined) return done;
    return change.before === undefined
      ? result
      : await publisher.apply([{ ...change, before: undefined }]);
  }
  if (found === change.after) {
    // It was intended by this run too, so only an earlier intention says that it is ours.
    const isOurs = own.some((record) => record.value === found);
    return isOurs || options.adopt === true ? done : { ...result, hint: ADOPT_HINT };
  }
  const before = own.findLast((record) => record.value === found);
  if (before !== undefined) return await publisher.apply([{ ...change, before }]);
  // An attempt that failed before meant to write here, and the publisher takes that for written.
  const isNever = change.after !== undefined && !own.some(({ isWritten }) => isWritten);
  return isNever ? { ...result, hint: `${change.name}: ${FOREIGN_HINT}` } : result;
}

const FOREIGN_HINT = 'it was not written here; remove it if nobody needs it';

const ADOPT_HINT =
  'the record is exactly the right one, but Waxseal did not write it: --adopt-record takes it over';

function changeFor(
  domain: string,
  { key, record }: RecordWish,
  own: ReadonlyMap<string, readonly OwnRecord[]>,
): RecordChange {
  const name = recordName(key.selector, domain);
  return {
    name,
    type: 'TXT',
    ttlS: key.ttlS,
    before: own.get(name)?.at(-1),
    after: wishedValue({ key, record }),
  };
}

function wishedValue({ key, record }: RecordWish): string | undefined {
  const values = { key: recordValue, revoked: revokedRecordValue, none: () => undefined };
  return values[record](key);
}

/** By name, every value that we wrote or meant to write since the record was last removed. */
async function ownRecords(
  access: LifecycleAccess,
  domain: string,
): Promise<ReadonlyMap<string, readonly OwnRecord[]>> {
  const own = new Map<string, readonly OwnRecord[]>();
  for await (const { event, record } of access.journal.read({ domain })) {
    if (record === undefined) continue;
    const before = own.get(record.name) ?? [];
    if (event === RECORD_EVENTS.removed) own.delete(record.name);
    else if (event === RECORD_EVENTS.refused) own.set(record.name, withoutLast(before, record));
    else if (OWNING.has(event)) {
      const isWritten = event !== RECORD_EVENTS.intended;
      own.set(record.name, [...before, { ...record, isWritten }]);
    }
  }
  return own;
}

/** Less the intention that came to nothing; one of an earlier run may have come true. */
function withoutLast(
  records: readonly OwnRecord[],
  { value, ttlS }: Pick<OwnRecord, 'value' | 'ttlS'>,
): readonly OwnRecord[] {
  const at = records.findLastIndex(
    (one) => !one.isWritten && one.value === value && one.ttlS === ttlS,
  );
  return at < 0 ? records : records.toSpliced(at, 1);
}

async function noteRefused(
  access: LifecycleAccess,
  domain: string,
  writes: readonly RecordWrite[],
): Promise<void> {
  const intended = writes.filter(({ change }) => change.after !== undefined);
  await noteWrites(access, domain, intended, RECORD_EVENTS.refused, RECORD_EVENTS.removing);
}

/** The longest TTL in seconds that any record of ours had under the name of a key; 0: there was none. */
export async function longestTtlS(
  access: LifecycleAccess,
  domain: string,
  selector: string,
): Promise<number> {
  const name = recordName(selector, domain);
  let longestS = 0;
  for await (const { record } of access.journal.read({ domain })) {
    if (record?.name === name) longestS = Math.max(longestS, record.ttlS);
  }
  return longestS;
}

const OWNING: ReadonlySet<string> = new Set([
  RECORD_EVENTS.intended,
  RECORD_EVENTS.written,
  RECORD_EVENTS.handedOver,
  RECORD_EVENTS.adopted,
]);

async function noteResult(
  access: LifecycleAccess,
  domain: string,
  writes: readonly RecordWrite[],
  result: PublishResult,
): Promise<PublishResult> {
  if (result.kind === 'written' || result.kind === 'by-hand') {
    const written = result.kind === 'by-hand' ? RECORD_EVENTS.handedOver : RECORD_EVENTS.written;
    await noteWrites(access, domain, writes, written, RECORD_EVENTS.removed);
  }
  return result;
}

async function noteWrites(
  access: LifecycleAccess,
  domain: string,
  writes: readonly RecordWrite[],
  writing: string,
  removing: string,
): Promise<void> {
  for (const { selector, change } of writes) {
    const { name, type, ttlS, before, after } = change;
    // A removal is noted with the value that goes.
    const record = { name, type, ttlS, value: after ?? before?.value ?? '' };
    const event = after === undefined ? removing : writing;
    await note(access, { event, domain, selector, record });
  }
}
