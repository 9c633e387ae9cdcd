import { encodeQuery, type Question, readReply } from '../../base/dns-message.ts';
import { printable } from '../../base/printable.ts';
import { splitRecordValue } from '../key-record.ts';
import { isWithin } from './dns-hints.ts';
import type { RecordChange } from './publisher.ts';
import { exchangeSigned, type TsigExchangeOptions } from './tsig-exchange.ts';
import {
  CLASS,
  placeRecords,
  RCODE_HINTS,
  rcodeName,
  TYPE,
  type WireRecord,
  wireName,
  wireRecord,
  wireStrings,
} from './wire.ts';

/**
 * Dynamic update (RFC 2136). Every change stands under a prerequisite, so that the server compares
 * and changes in one step: *RRset does not exist* to create, *RRset exists, with this value* to
 * replace or delete.
 */

/** What a server's update came to. */
export type UpdateOutcome =
  | { readonly kind: 'done' }
  /** A prerequisite did not hold: something else stands there, or nothing does. */
  | { readonly kind: 'prerequisite' }
  | { readonly kind: 'failed'; readonly reason: string; readonly hint: string };

/** What stands at a name now. */
export type CurrentRecords =
  | {
      readonly kind: 'records';
      /** Each TXT record as its character-strings, exactly as it stands there. */
      readonly texts: readonly (readonly Buffer[])[];
      readonly ttlS: number | undefined;
      readonly cname: string | undefined;
    }
  | { readonly kind: 'failed'; readonly reason: string; readonly hint: string };

/** A change with the data of the record that it takes away. */
export interface PreparedChange {
  readonly change: RecordChange;
  /** What stands there, octet for octet; undefined: nothing does. */
  readonly standing: Buffer | undefined;
  /** Only the prerequisite is sent. */
  readonly isTrial?: boolean;
}

const OPCODE_UPDATE = 5 << 3;
/** A message over TCP has at most 65,535 octets; TSIG needs some of them. */
export const MAX_UPDATE_OCTETS = 60_000;

const PREREQUISITE_RCODES: ReadonlySet<string> = new Set([
  'NXDOMAIN',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
]);
/** The data of a record that we write. */
export function recordData(type: RecordChange['type'], value: string): Buffer {
  if (type === 'CNAME') return wireName(value.replace(/\.$/, ''));
  return wireStrings(splitRecordValue(value).map((text) => Buffer.from(text, 'latin1')));
}

/** Octets that a change takes in an update message, at the most. */
export function changeOctets({ change, standing }: PreparedChange): number {
  return (standing?.length ?? 0) * 2 + (change.after?.length ?? 0) * 2 + 4 * 270;
}

/** Sends changes of one zone: all of them are made or none. */
export async function sendUpdate(
  zone: string,
  changes: readonly PreparedChange[],
  options: TsigExchangeOptions,
): Promise<UpdateOutcome> {
  const answer = await exchangeSigned(updateMessage(zone, changes), options);
  if (answer.kind === 'failed') {
    return { kind: 'failed', reason: answer.reason, hint: answer.hint };
  }
  const rcode = rcodeName(placeRecords(answer.octets)?.rcode ?? 1);
  if (rcode === 'NOERROR') return { kind: 'done' };
  if (PREREQUISITE_RCODES.has(rcode)) return { kind: 'prerequisite' };
  return {
    kind: 'failed',
    reason: `the server answers ${rcode} to the update of ${zone}`,
    hint: RCODE_HINTS[rcode] ?? 'the log of the server says why',
  };
}

/**
 * Asks the primary whether a change's prerequisite holds, and changes nothing. A question about the
 * name would be answered by a wildcard, too; this one is about the record itself.
 */
export async function tryPrerequisite(
  zone: string,
  prepared: PreparedChange,
  options: TsigExchangeOptions,
): Promise<UpdateOutcome> {
  const { change, standing } = prepared;
  return await sendUpdate(zone, [{ change, standing, isTrial: true }], options);
}

/** Asks the primary what stands at a name, with a signed question over TCP. */
export async function readCurrent(
  name: string,
  options: TsigExchangeOptions,
): Promise<CurrentRecords> {
  const asked = await askSigned({ name, type: 'TXT' }, options);
  if (asked.kind === 'failed') return asked;
  const { answers } = asked.reply;
  const texts = answers.flatMap((record) =>
    record.type === 'TXT' && record.name === name ? [record] : [],
  );
  const cname = answers.find((record) => record.type === 'CNAME' && record.name === name);
  return {
    kind: 'records',
    texts: texts.map((record) => record.data),
    ttlS: (texts[0] ?? cname)?.ttlS,
    cname: cname?.type === 'CNAME' ? cname.data : undefined,
  };
}

/** The zone that holds a name, as its primary says (the owner of the SOA). */
export async function findZone(
  name: string,
  options: TsigExchangeOptions,
): Promise<
  | { readonly kind: 'zone'; readonly zone: string }
  | { readonly kind: 'failed'; readonly reason: string; readonly hint: string }
> {
  // A CNAME at the name hides the SOA; the name above has it.
  for (let at = name; at !== ''; at = parentOf(at)) {
    const asked = await askSigned({ name: at, type: 'SOA' }, options);
    if (asked.kind === 'failed') return asked;
    const { answers, authorities } = asked.reply;
    const soa = [...answers, ...authorities].find((record) => record.type === 'SOA');
    if (soa !== undefined && isWithin(name, soa.name)) return { kind: 'zone', zone: soa.name };
  }
  return {
    kind: 'failed',
    reason: `the server does not say to which zone ${name} belongs`,
    hint: 'set "zone" of the publisher',
  };
}

function parentOf(name: string): string {
  const dot = name.indexOf('.');
  return dot < 0 ? '' : name.slice(dot + 1);
}

async function askSigned(question: Question, options: TsigExchangeOptions) {
  const answer = await exchangeSigned(encodeQuery(question, 0, false, 'iterative'), options);
  if (answer.kind === 'failed') {
    return { kind: 'failed', reason: answer.reason, hint: answer.hint } as const;
  }
  const received = readReply(answer.octets, question, answer.id);
  const where = `${options.server.address} port ${options.server.port}`;
  if (received.kind !== 'reply') {
    const reason = `${where}: its answer about ${question.name} is ${received.kind}`;
    return { kind: 'failed', reason, hint: 'the log of the server may say why' } as const;
  }
  const { reply } = received;
  if (reply.authoritative && (reply.rcode === 'NOERROR' || reply.rcode === 'NXDOMAIN')) {
    return { kind: 'reply', reply } as const;
  }
  const what = reply.authoritative
    ? printable(reply.rcode, 40)
    : `${reply.rcode} without authority`;
  return {
    kind: 'failed',
    reason: `${where} answers ${what} about ${question.name}`,
    hint: 'the server must be the primary of the zone; look at "server" and "zone"',
  } as const;
}

function updateMessage(zone: string, changes: readonly PreparedChange[]): Buffer {
  const prerequisites = changes.flatMap(prerequisitesOf).map(wireRecord);
  const updates = changes.flatMap(updatesOf).map(wireRecord);
  const header = Buffer.alloc(12);
  header.writeUInt8(OPCODE_UPDATE, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(prerequisites.length, 6);
  header.writeUInt16BE(updates.length, 8);
  const zoneSection = Buffer.concat([
    wireName(zone),
    Buffer.from([0, TYPE.SOA, 0, CLASS.IN]), // RFC 2136 section 2.3
  ]);
  return Buffer.concat([header, zoneSection, ...prerequisites, ...updates]);
}

const NO_DATA = Buffer.alloc(0);

function prerequisitesOf({ change, standing }: PreparedChange): WireRecord[] {
  const { name } = change;
  const type = TYPE[change.type];
  if (standing !== undefined) {
    return [{ name, type, class: CLASS.IN, ttlS: 0, data: standing }]; // section 2.4.2
  }
  // A CNAME there would make the server drop our record without a word (section 3.4.2.2), as any
  // other record would drop a CNAME of ours.
  const types = change.type === 'TXT' ? [TYPE.TXT, TYPE.CNAME] : [TYPE.ANY];
  return types.map((absent) => ({
    name,
    type: absent,
    class: CLASS.NONE, // sections 2.4.3 and 2.4.5
    ttlS: 0,
    data: NO_DATA,
  }));
}

function updatesOf({ change, standing, isTrial = false }: PreparedChange): WireRecord[] {
  if (isTrial) return [];
  const { name, ttlS, after } = change;
  const type = TYPE[change.type];
  const updates: WireRecord[] = [];
  if (standing !== undefined) {
    updates.push({ name, type, class: CLASS.NONE, ttlS: 0, data: standing }); // section 2.5.4
  }
  if (after !== undefined) {
    updates.push({ name, type, class: CLASS.IN, ttlS, data: recordData(change.type, after) });
  }
  return updates;
}
