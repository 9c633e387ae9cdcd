import type { Clock } from '../../base/clock.ts';
import type { DnsServer } from '../../base/dns-transport.ts';
import { compareStanding, type Standing } from './compare-standing.ts';
import {
  type CurrentRecords,
  changeOctets,
  findZone,
  MAX_UPDATE_OCTETS,
  type PreparedChange,
  readCurrent,
  recordData,
  sendUpdate,
  tryPrerequisite,
  type UpdateOutcome,
} from './dns-update.ts';
import type { Publisher, PublishResult, RecordChange } from './publisher.ts';
import type { TsigKey } from './tsig.ts';
import type { TsigExchangeOptions } from './tsig-exchange.ts';
import { wireStrings } from './wire.ts';

export interface Rfc2136Options {
  /** The primary of the zone. */
  readonly server: DnsServer;
  readonly key: TsigKey;
  /** Normalised; undefined: the server is asked for each name. */
  readonly zone: string | undefined;
  /** For one exchange, in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

interface PreparedIn {
  readonly kind: 'change';
  readonly zone: string;
  readonly prepared: PreparedChange;
}

type Prepared =
  | PreparedIn
  | { readonly kind: 'done' }
  | Exclude<PublishResult, { kind: 'written' }>;

/** Once, and once more when a prerequisite did not hold: the record may be written already. */
const MAX_ROUNDS = 2;

/** Writes records by dynamic update (RFC 2136) under TSIG (RFC 8945), over TCP. */
export class Rfc2136Publisher implements Publisher {
  readonly name = 'rfc2136';
  readonly #options: Rfc2136Options;

  constructor(options: Rfc2136Options) {
    this.#options = options;
  }

  async apply(changes: readonly RecordChange[], signal?: AbortSignal): Promise<PublishResult> {
    const exchange: TsigExchangeOptions = { ...this.#options, signal };
    let open = changes;
    for (let round = 1; round <= MAX_ROUNDS; round += 1) {
      const prepared: PreparedIn[] = [];
      for (const change of open) {
        // A new record is not looked for first: a wildcard would seem to stand in its way.
        const isBlind = round === 1 && change.before === undefined;
        const one = isBlind
          ? await this.#inZone({ change, standing: undefined }, exchange)
          : await this.#prepare(change, exchange);
        if (one.kind === 'change') prepared.push(one);
        else if (one.kind !== 'done') return one;
      }
      const outcome = await this.#send(prepared, exchange);
      if (outcome.kind === 'failed') return outcome;
      if (outcome.kind === 'done') return this.#written(changes.length, prepared.length);
      open = prepared.map(({ prepared: { change } }) => change);
    }
    return {
      kind: 'failed',
      reason: 'the records change while they are written',
      hint: 'look who else writes them, and try again',
    };
  }

  close(): void {
    // Each exchange has a connection of its own.
  }

  async #prepare(change: RecordChange, exchange: TsigExchangeOptions): Promise<Prepared> {
    const absent = await this.#inZone({ change, standing: undefined }, exchange);
    if (absent.kind !== 'change') return absent;
    // Only this tells absence for sure: a wildcard answers questions about what is not there.
    const tried = await tryPrerequisite(absent.zone, absent.prepared, exchange);
    if (tried.kind === 'failed') return tried;
    if (tried.kind === 'done') {
      const comparison = compareStanding(change, []);
      return comparison.kind === 'as-said' ? absent : comparison;
    }
    const current = await readCurrent(change.name, exchange);
    if (current.kind === 'failed') return current;
    const comparison = compareStanding(change, standingOf(current));
    if (comparison.kind !== 'as-said') return comparison;
    if (change.before === undefined) {
      const hint = `${change.name}: records of another type stand there, beside which ours cannot`;
      return { kind: 'in-the-way', found: [], hint };
    }
    return { ...absent, prepared: { change, standing: standingData(change, current) } };
  }

  async #inZone(prepared: PreparedChange, exchange: TsigExchangeOptions): Promise<Prepared> {
    if (this.#options.zone !== undefined) {
      return { kind: 'change', zone: this.#options.zone, prepared };
    }
    const found = await findZone(prepared.change.name, exchange);
    return found.kind === 'failed' ? found : { kind: 'change', zone: found.zone, prepared };
  }

  async #send(
    prepared: readonly PreparedIn[],
    exchange: TsigExchangeOptions,
  ): Promise<UpdateOutcome> {
    for (const [zone, all] of Map.groupBy(prepared, (one) => one.zone)) {
      for (const part of inParts(all.map((one) => one.prepared))) {
        const outcome = await sendUpdate(zone, part, exchange);
        if (outcome.kind !== 'done') return outcome;
      }
    }
    return { kind: 'done' };
  }

  #written(all: number, written: number): PublishResult {
    const { address, port } = this.#options.server;
    const stood = all === written ? '' : `, ${all - written} stood there already`;
    return { kind: 'written', detail: `${written} written at ${address} port ${port}${stood}` };
  }
}

type Current = Extract<CurrentRecords, { kind: 'records' }>;

function standingOf({ texts, cname, ttlS }: Current): Standing[] {
  const standing: Standing[] = [];
  if (texts.length > 0) {
    const values = texts.map((strings) => Buffer.concat(strings).toString('latin1'));
    standing.push({ type: 'TXT', values, ttlS });
  }
  if (cname !== undefined) standing.push({ type: 'CNAME', values: [cname], ttlS });
  return standing;
}

/** The strings as they stand there: another way to split them is another value to the server. */
function standingData({ type, before }: RecordChange, current: Current): Buffer | undefined {
  if (before === undefined) return undefined;
  if (type === 'CNAME') return recordData('CNAME', current.cname ?? before.value);
  return wireStrings(current.texts[0] ?? []);
}

function inParts(changes: readonly PreparedChange[]): PreparedChange[][] {
  const parts: PreparedChange[][] = [];
  let octets = Number.POSITIVE_INFINITY;
  for (const change of changes) {
    octets += changeOctets(change);
    if (octets > MAX_UPDATE_OCTETS) {
      parts.push([]);
      octets = changeOctets(change);
    }
    parts.at(-1)?.push(change);
  }
  return parts;
}
