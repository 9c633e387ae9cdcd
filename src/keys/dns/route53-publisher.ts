import type { Change, ResourceRecordSet } from '@aws-sdk/client-route-53';
import { untilAborted } from '../../base/pause.ts';
import { compareStanding } from './compare-standing.ts';
import type { Publisher, PublishResult, RecordChange } from './publisher.ts';
import { type ChangeMade, Route53Calls, type Route53CallsOptions } from './route53-calls.ts';
import { recordSet, standingOf } from './route53-records.ts';
import {
  type BatchAccepted,
  type BatchOutcome,
  type BatchRefusal,
  valueOctets,
  ZoneBatches,
} from './zone-batches.ts';

/** Limits of ChangeResourceRecordSets (API reference): records, and characters of their values. */
const MAX_CHANGES = 1000;
const MAX_VALUE_OCTETS = 32_000 / 2;
/** Batches that are PENDING; each is asked for now and then, at the cost of the same pace. */
const MAX_OPEN = 8;

interface Prepared {
  readonly change: RecordChange;
  /** The set to delete, exactly as it stands; undefined: nothing is deleted. */
  readonly standing: ResourceRecordSet | undefined;
}

/**
 * Writes records into a zone of Route 53. CREATE fails where a record stands, DELETE where it is not
 * exactly the one named; a replacement is both in one batch, which is made as a whole or not at all.
 * UPSERT would overwrite whatever stands there, so it is never used.
 */
export class Route53Publisher implements Publisher {
  readonly name = 'route53';
  readonly #calls: Route53Calls;
  readonly #batches: ZoneBatches;

  constructor(options: Route53CallsOptions) {
    this.#calls = new Route53Calls(options);
    this.#batches = new ZoneBatches({
      maxChanges: MAX_CHANGES,
      maxOctets: MAX_VALUE_OCTETS,
      maxOpen: MAX_OPEN,
      send: (changes) => this.#send(changes.map(asSaid)),
      sendAlone: (changes, isAfterLoss) => this.#sendAlone(changes, isAfterLoss),
    });
  }

  async apply(changes: readonly RecordChange[], signal?: AbortSignal): Promise<PublishResult> {
    signal?.throwIfAborted();
    // A batch serves several callers: one that goes away does not take it along.
    return await untilAborted(this.#batches.submit(changes), signal);
  }

  close(): void {
    this.#calls.close();
  }

  async #sendAlone(
    changes: readonly RecordChange[],
    isAfterLoss: boolean,
  ): Promise<PublishResult | BatchAccepted> {
    const dones: Promise<PublishResult>[] = [];
    for (const part of inParts(changes)) {
      const sent = await this.#send(part.map(asSaid));
      const outcome =
        sent.kind === 'refused'
          ? await this.#sendAfterLook(part, isAfterLoss || sent.isAfterLoss)
          : sent;
      if (outcome.kind === 'accepted') dones.push(outcome.done);
      else if (outcome.kind === 'written') dones.push(Promise.resolve(outcome));
      else return outcome;
    }
    return { kind: 'accepted', done: Promise.all(dones).then(worstOf) };
  }

  /** Looks what stands there, and tries once more with what is left to do. */
  async #sendAfterLook(
    changes: readonly RecordChange[],
    mayBeOurs: boolean,
  ): Promise<PublishResult | BatchAccepted> {
    const left: Prepared[] = [];
    for (const change of changes) {
      const listed = await this.#calls.list(change.name);
      if (listed.kind !== 'sets') return withoutRefusal(listed);
      const comparison = compareStanding(change, standingOf(listed.sets), mayBeOurs);
      if (comparison.kind === 'in-the-way') return comparison;
      if (comparison.kind === 'done') continue;
      const standing = listed.sets.find((set) => set.Type === change.type);
      left.push({ change, standing: change.before === undefined ? undefined : standing });
    }
    if (left.length === 0) return { kind: 'written', detail: 'it stood there already' };
    return withoutRefusal(await this.#send(left));
  }

  async #send(prepared: readonly Prepared[]): Promise<BatchOutcome> {
    const changes = prepared.flatMap(batchEntries);
    if (changes.length === 0) return { kind: 'written', detail: 'nothing to do' };
    const made = await this.#calls.change(changes);
    return made.kind === 'made' ? { kind: 'accepted', done: this.#done(made) } : made;
  }

  async #done({ id, isInsync }: ChangeMade): Promise<PublishResult> {
    const failure = isInsync ? undefined : await this.#calls.untilInsync(id);
    return failure === undefined ? { kind: 'written', detail: `change ${id} is INSYNC` } : failure;
  }
}

function asSaid(change: RecordChange): Prepared {
  const { before } = change;
  return {
    change,
    standing: before === undefined ? undefined : recordSet(change, before.value, before.ttlS),
  };
}

function batchEntries({ change, standing }: Prepared): Change[] {
  const entries: Change[] = [];
  if (standing !== undefined) entries.push({ Action: 'DELETE', ResourceRecordSet: standing });
  if (change.after !== undefined) {
    const set = recordSet(change, change.after, change.ttlS);
    entries.push({ Action: 'CREATE', ResourceRecordSet: set });
  }
  return entries;
}

function withoutRefusal<Outcome extends { readonly kind: string }>(
  outcome: Outcome | BatchRefusal,
): Outcome | Extract<PublishResult, { kind: 'failed' }> {
  if (!isRefusal(outcome)) return outcome;
  return {
    kind: 'failed',
    reason: outcome.reason,
    hint: 'the records change while they are written, or do not belong into this zone',
  };
}

function isRefusal(outcome: { readonly kind: string }): outcome is BatchRefusal {
  return outcome.kind === 'refused';
}

function worstOf(results: readonly PublishResult[]): PublishResult {
  const last = results.at(-1) ?? { kind: 'written', detail: 'nothing to do' };
  return results.find(({ kind }) => kind !== 'written') ?? last;
}

function inParts(changes: readonly RecordChange[]): RecordChange[][] {
  const parts: RecordChange[][] = [];
  let octets = Number.POSITIVE_INFINITY;
  for (const change of changes) {
    octets += valueOctets([change]);
    if (octets > MAX_VALUE_OCTETS) {
      parts.push([]);
      octets = valueOctets([change]);
    }
    parts.at(-1)?.push(change);
  }
  return parts;
}
