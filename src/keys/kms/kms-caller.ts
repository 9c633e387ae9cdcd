import type { Clock } from '../../base/clock.ts';
import { traceRequest } from '../request-trace.ts';
import { type KmsClient, type OpenKmsClient, openAwsClient } from './aws-client.ts';
import { CallBudget } from './call-budget.ts';
import { CallCounters, type KmsCallCounts } from './call-counters.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import { ConnectionSlots } from './connection-slots.ts';
import { parseKmsArn } from './kms-arn.ts';
import { KmsError, type KmsFaultKind } from './kms-fault.ts';
import {
  DEFAULT_QUOTAS,
  KMS_OPERATIONS,
  type KmsInput,
  type KmsOperation,
  type KmsOutput,
  type QuotaFamily,
} from './kms-operation.ts';
import { endpointFor, type KmsSettings } from './kms-settings.ts';
import { TokenBucket } from './token-bucket.ts';
import { ProcessHold, waitMs } from './wait.ts';

/**
 * Every call to KMS goes this way, in order: too many waiting → refused; a Region whose circuit
 * breaker lets it pass, in the order that the call names; its turn by the quota; a connection; the
 * budget of the day; one attempt with a time limit. What may pass by itself is tried again, in the next Region
 * where the fault is one of the Region, until the time for all attempts is over.
 */

/** A call. */
export interface KmsCall<Name extends KmsOperation> {
  readonly operation: Name;
  readonly family: QuotaFamily;
  /** Where it may be made, the best first; at least one. */
  readonly regions: readonly string[];
  /** Where the key is for certain; elsewhere its replica may be missing. Default: the first Region. */
  readonly home?: string | undefined;
  readonly input: (region: string) => KmsInput<Name>;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
  /** Less time for all attempts than `kms.totalTimeoutMs`. */
  readonly withinMs?: number | undefined;
}

export interface KmsCallerOptions {
  readonly settings: KmsSettings;
  readonly clock: Clock;
  /** What the operator should know. */
  readonly alert: (message: string) => void;
  /** From 0 to 1, for jitter. */
  readonly random?: (() => number) | undefined;
  readonly openClient?: OpenKmsClient | undefined;
}

const FIRST_BACK_OFF_MS = 100;
const LONGEST_BACK_OFF_MS = 4000;

interface Region {
  readonly name: string;
  readonly client: Promise<KmsClient>;
  readonly breaker: CircuitBreaker;
  readonly slots: ConnectionSlots;
  readonly buckets: Map<QuotaFamily, TokenBucket>;
}

/** How one attempt went. */
type Attempt<Name extends KmsOperation> =
  | { readonly kind: 'answer'; readonly output: KmsOutput<Name> }
  | { readonly kind: 'fault'; readonly error: KmsError };

export class KmsCaller {
  readonly #options: KmsCallerOptions;
  readonly #random: () => number;
  readonly #regions = new Map<string, Region>();
  readonly #budget: CallBudget;
  readonly #counters = new CallCounters();
  readonly #hold = new ProcessHold();
  /** End the calls that are under way. */
  readonly #ends = new Set<() => void>();
  #underWay = 0;
  #closed = false;

  constructor(options: KmsCallerOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#budget = new CallBudget(options.clock, options.settings.budget, options.alert);
  }

  get counts(): KmsCallCounts {
    return this.#counters.counts;
  }

  /** Makes ready for calls to a Region: what loading the SDK takes, no message shall wait for. */
  prepare(region: string): void {
    this.#region(region);
  }

  /** Calls that were begun and have not ended. */
  get underWay(): number {
    return this.#underWay;
  }

  /** @throws KmsError */
  async call<Name extends KmsOperation>(call: KmsCall<Name>): Promise<KmsOutput<Name>> {
    const { maxWaiting } = this.#options.settings;
    if (this.#underWay >= maxWaiting) {
      throw new KmsError('over-quota', `${maxWaiting} calls to KMS wait already (kms.maxWaiting)`);
    }
    if (this.#closed) throw aborted(call.operation);
    this.#underWay += 1;
    this.#hold.take();
    const ended = new AbortController();
    const end = () => ended.abort();
    this.#ends.add(end);
    call.signal?.addEventListener('abort', end, { once: true });
    if (call.signal?.aborted === true) end();
    try {
      return await this.#attempts({ ...call, signal: ended.signal });
    } finally {
      call.signal?.removeEventListener('abort', end);
      this.#ends.delete(end);
      this.#underWay -= 1;
      this.#hold.release();
    }
  }

  /** Ends the calls that are under way, takes no more, and closes idle connections. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const end of this.#ends) end();
    for (const region of this.#regions.values()) {
      const client = await region.client.catch(() => undefined);
      client?.close();
    }
  }

  async #attempts<Name extends KmsOperation>(call: KmsCall<Name>): Promise<KmsOutput<Name>> {
    const { clock } = this.#options;
    const dueMs = clock.monotonicMs() + this.#totalMs(call.withinMs);
    const { repeatable } = KMS_OPERATIONS[call.operation];
    const tried = new Set<string>();
    let first: KmsError | undefined;
    let regions = call.regions;
    for (let attempt = 0; ; attempt += 1) {
      const region = this.#admitting(regions);
      if (region === undefined) throw first ?? refused(call.regions);
      tried.add(region.name);
      const result = await this.#attempt(call, region, dueMs);
      if (result.kind === 'answer') return result.output;
      const { error } = result;
      const { row } = error;
      const others = regions.filter((name) => name !== region.name);
      if (!row.retry) {
        // In a Region that we only failed over to, the replica may be missing: that is no verdict.
        // At home it is one, whenever it comes: a key that was disabled meanwhile has no fall-back.
        const { home = call.regions[0] } = call;
        const isMissing = error.kind === 'not-found' && region.name !== home;
        const isFirst = first === undefined || region.name === call.regions[0];
        if (!row.holdsKey || region.name === home || (isFirst && !isMissing)) throw error;
        regions = others;
      } else if (row.failOver) {
        regions = [...others, region.name];
      }
      first ??= error;
      if (row.unknownOutcome && !repeatable) throw error;
      const next = regions[0] ?? region.name;
      const pauseMs = tried.has(next) ? this.#backOffMs(attempt) : 0;
      if (clock.monotonicMs() + pauseMs >= dueMs) throw first;
      if (!(await waitMs(clock, pauseMs, call.signal))) throw aborted(call.operation);
    }
  }

  #totalMs(withinMs: number | undefined): number {
    const { totalTimeoutMs } = this.#options.settings;
    return Math.min(totalTimeoutMs, withinMs ?? totalTimeoutMs);
  }

  async #attempt<Name extends KmsOperation>(
    call: KmsCall<Name>,
    region: Region,
    dueMs: number,
  ): Promise<Attempt<Name>> {
    const { operation } = call;
    const before = await this.#turn(call, region, dueMs);
    if (before !== undefined) {
      region.breaker.spoiled();
      return { kind: 'fault', error: before };
    }
    this.#counters.sent(operation);
    try {
      const output = await this.#send(call, region, dueMs);
      traceRequest(output.$metadata.requestId);
      region.breaker.succeeded();
      return { kind: 'answer', output };
    } catch (thrown) {
      const error = knownError(thrown, operation, region.name);
      traceRequest(error.requestId);
      this.#counters.failed(error.kind);
      // Who has less time than an attempt may take cannot tell a slow Region from one that is down.
      const { attemptTimeoutMs } = this.#options.settings;
      const wholeMs = Math.min(attemptTimeoutMs, this.#totalMs(undefined));
      const isBrief = error.kind === 'timeout' && this.#totalMs(call.withinMs) < wholeMs;
      if (NOT_ASKED.has(error.kind) || isBrief) {
        region.breaker.spoiled();
      } else if (error.row.opensBreaker) region.breaker.failed();
      else region.breaker.succeeded();
      return { kind: 'fault', error };
    } finally {
      region.slots.release();
    }
  }

  /** Waits for a token and a slot, and takes from the budget. @returns why it may not go */
  async #turn<Name extends KmsOperation>(
    { operation, family, input, signal, withinMs }: KmsCall<Name>,
    region: Region,
    dueMs: number,
  ): Promise<KmsError | undefined> {
    const { clock, settings } = this.#options;
    const row = KMS_OPERATIONS[operation];
    if (row.endsKey) refuseWrappingKey(operation, input(region.name), settings.wrappingKey);
    // Late, it would be cut short, and that would be held against the Region.
    const neededMs = Math.min(settings.attemptTimeoutMs, this.#totalMs(withinMs) / 2);
    const spareMs = () => Math.max(0, dueMs - clock.monotonicMs() - neededMs);
    const pauseMs = this.#bucket(region, family).take(spareMs());
    if (pauseMs === undefined) {
      const message = `KMS in ${region.name}, ${operation}: more calls wait than kms.quotaShare lets go in time`;
      return new KmsError('over-quota', message);
    }
    if (!(await waitMs(clock, pauseMs, signal))) return aborted(operation);
    const slot = await region.slots.take(spareMs(), signal);
    if (slot === 'aborted') return aborted(operation);
    if (slot === 'late') {
      const message = `KMS in ${region.name}, ${operation}: none of ${settings.connections} connections (kms.connections) was free in time`;
      return new KmsError('over-quota', message);
    }
    if (row.budgeted && !this.#budget.take()) {
      region.slots.release();
      return new KmsError(
        'over-budget',
        `the KMS calls of this day (${settings.budget}) are used up`,
      );
    }
    return undefined;
  }

  /** One attempt within its time limit. */
  async #send<Name extends KmsOperation>(
    { operation, input, signal }: KmsCall<Name>,
    region: Region,
    dueMs: number,
  ): Promise<KmsOutput<Name>> {
    const { clock, settings } = this.#options;
    const limitMs = Math.min(settings.attemptTimeoutMs, dueMs - clock.monotonicMs());
    const controller = new AbortController();
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const end = (error: KmsError) => {
      reject(error);
      controller.abort();
    };
    const stop = () => end(aborted(operation));
    const cancel = clock.after(limitMs, () => {
      const message = `KMS in ${region.name}, ${operation}: no answer within ${Math.round(limitMs)} ms`;
      end(new KmsError('timeout', message));
    });
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted === true) stop();
    try {
      const client = await region.client;
      // A race: credentials may be waited for, which no signal ends.
      const sent = client.send(operation, input(region.name), controller.signal);
      return await Promise.race([sent, ended]);
    } finally {
      ended.catch(() => undefined);
      cancel();
      signal?.removeEventListener('abort', stop);
    }
  }

  #admitting(regions: readonly string[]): Region | undefined {
    for (const name of regions) {
      const region = this.#region(name);
      if (region.breaker.admits()) return region;
    }
    return undefined;
  }

  #region(name: string): Region {
    const known = this.#regions.get(name);
    if (known !== undefined) return known;
    const { settings, clock, alert, openClient = openAwsClient } = this.#options;
    const endpoint = endpointFor(name, settings.endpoints);
    const client = openClient({ region: name, endpoint, connections: settings.connections });
    client.catch(() => undefined);
    const breaker = new CircuitBreaker({
      clock,
      probeMs: settings.attemptTimeoutMs,
      onOpen: (pauseMs) => alert(`KMS in ${name} does not answer; asked again in ${pauseMs} ms`),
      onClose: () => alert(`KMS in ${name} answers again`),
    });
    const slots = new ConnectionSlots(clock, settings.connections);
    const region: Region = { name, client, breaker, slots, buckets: new Map() };
    this.#regions.set(name, region);
    return region;
  }

  #bucket(region: Region, family: QuotaFamily): TokenBucket {
    const known = region.buckets.get(family);
    if (known !== undefined) return known;
    const { clock, settings } = this.#options;
    const configured: Partial<Record<QuotaFamily, number>> = {
      'sign-rsa': settings.quotas.rsaPerSecond,
      'sign-ecc': settings.quotas.eccPerSecond,
    };
    const quota = configured[family] ?? DEFAULT_QUOTAS[family];
    const bucket = new TokenBucket(clock, (quota * settings.quotaShare) / 100);
    region.buckets.set(family, bucket);
    return bucket;
  }

  /** Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ */
  #backOffMs(attempt: number): number {
    const most = Math.min(LONGEST_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** attempt);
    return most * (0.5 + this.#random() / 2);
  }
}

/** Faults after which nobody knows more about the Region than before. */
const NOT_ASKED: ReadonlySet<KmsFaultKind> = new Set(['aborted', 'credentials', 'other']);

/** No code path ends the key that all others are wrapped with; this is the last gate. */
function refuseWrappingKey(operation: KmsOperation, input: object, wrappingKey: string): void {
  const named = 'KeyId' in input && typeof input.KeyId === 'string' ? input.KeyId : '';
  const wrapping = parseKmsArn(wrappingKey)?.keyId;
  if (wrapping === undefined || (parseKmsArn(named)?.keyId ?? named) !== wrapping) return;
  throw new KmsError('other', `${operation} of the wrapping key (kms.wrappingKey) is never done`);
}

function refused(regions: readonly string[]): KmsError {
  const message = `KMS in ${regions.join(', ')} does not answer; it is left alone for a moment`;
  return new KmsError('unavailable', message);
}

function aborted(operation: KmsOperation): KmsError {
  return new KmsError(
    'aborted',
    `${operation} was not waited for: the transaction ended, or the process ends`,
  );
}

function knownError(thrown: unknown, operation: KmsOperation, region: string): KmsError {
  if (thrown instanceof KmsError) return thrown;
  const what = thrown instanceof Error ? thrown.name : 'Error';
  return new KmsError('other', `KMS in ${region}, ${operation}: ${what}`);
}
