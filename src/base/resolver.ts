import { setMaxListeners } from 'node:events';
import type { Clock } from './clock.ts';
import { interpretReply } from './dns-answer.ts';
import { DnsCache } from './dns-cache.ts';
import { DnsGate } from './dns-gate.ts';
import type { Question, RecordData, RecordType } from './dns-message.ts';
import { isAskable, normalizeName } from './dns-name.ts';
import {
  parseDnsServer,
  type ServerFailure,
  ServerList,
  type ServersReply,
} from './dns-servers.ts';
import { WaxsealError } from './errors.ts';

export type { MxData, RecordData, RecordType, SoaData } from './dns-message.ts';

/** Why a look-up gave no answer now. All are temporary for a mail system (451 4.4.3). */
export type ResolverFailure =
  | ServerFailure
  | 'cname-loop'
  | 'cname-chain-too-long'
  /** Too many look-ups under way. */
  | 'overloaded'
  /** The resolver was closed. */
  | 'closed';

/** What the DNS says. Every case is a value: a look-up rejects only when its caller aborts it. */
export type Answer<Type extends RecordType = RecordType> =
  | {
      readonly kind: 'records';
      /** Name that owns the records, after CNAMEs. */
      readonly name: string;
      /** At least one, in the order of the reply. */
      readonly records: readonly RecordData[Type][];
      /** Seconds for which this still holds, within the configured bound. */
      readonly ttlS: number;
    }
  /** The name exists and has no record of this type. */
  | { readonly kind: 'nodata'; readonly name: string; readonly ttlS: number }
  /** The name (after CNAMEs) does not exist. */
  | { readonly kind: 'nxdomain'; readonly name: string; readonly ttlS: number }
  | { readonly kind: 'failure'; readonly reason: ResolverFailure; readonly detail: string };

/** Looks names up. Implemented by `StubResolver`; tests may bring their own. */
export interface Resolver {
  /**
   * @param name domain name in ASCII (A-labels); case and a trailing dot do not matter. No search
   *   list is applied. A name that the DNS cannot hold is `nxdomain`.
   * @param signal ends this caller's wait only; a look-up that others share goes on
   * @throws the signal's reason when aborted, and nothing else
   */
  resolve<Type extends RecordType>(
    name: string,
    type: Type,
    signal?: AbortSignal,
  ): Promise<Answer<Type>>;
}

export interface ResolverOptions {
  /** `ip`, `ip:port`, `[v6]:port`; at least one, e.g. those of `getServers()` of node:dns. */
  readonly servers: readonly string[];
  /** For one try, in milliseconds. */
  readonly timeoutMs: number;
  /** Tries for one question, over all servers. */
  readonly attempts: number;
  readonly cacheEntries: number;
  readonly maxTtlS: number;
  readonly maxNegativeTtlS: number;
  /** How long a failure is remembered (RFC 9520 asks for at least 1 s); default 5. */
  readonly failureTtlS?: number;
  /** Questions under way at one time; default 256. */
  readonly maxInFlight?: number;
  readonly clock: Clock;
}

const DEFAULT_FAILURE_TTL_S = 5;
const DEFAULT_MAX_IN_FLIGHT = 256;
/** Questions that may wait for their turn. */
const MAX_WAITING = 10_000;
const CACHE_BYTES = 32 * 1024 * 1024;

type Failure = Answer & { readonly kind: 'failure' };

interface LookUp {
  readonly answer: Answer;
  readonly ttlS: number;
  /** Octets of the replies that it rests on. */
  readonly bytes: number;
}

/**
 * A stub resolver (RFC 1123 section 6.1.3.1): asks recursive servers, and keeps positive and
 * negative answers (RFC 2308) for their TTL. Not node:dns, which gives no TTL for MX and none for
 * negative answers. Identical questions under way are asked once.
 */
export class StubResolver implements Resolver {
  readonly #options: ResolverOptions;
  readonly #servers: ServerList;
  readonly #gate: DnsGate;
  readonly #cache: DnsCache<Answer>;
  readonly #underWay = new Map<string, Promise<Answer>>();
  readonly #closing = new AbortController();

  /** @throws WaxsealError `dns-server-invalid` */
  constructor(options: ResolverOptions) {
    const { clock, timeoutMs, attempts } = options;
    if (options.servers.length === 0) {
      throw new WaxsealError('dns-server-invalid', 'there is no DNS server to ask', {
        hint: 'set dns.servers, or give the system one in /etc/resolv.conf',
      });
    }
    this.#options = options;
    setMaxListeners(0, this.#closing.signal);
    this.#servers = new ServerList({
      servers: options.servers.map(parseDnsServer),
      timeoutMs,
      attempts,
      clock,
      signal: this.#closing.signal,
    });
    this.#gate = new DnsGate({
      width: options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT,
      maxWaiting: MAX_WAITING,
      maxWaitMs: timeoutMs * attempts,
      clock,
    });
    this.#cache = new DnsCache({
      maxEntries: options.cacheEntries,
      maxBytes: CACHE_BYTES,
      clock,
    });
  }

  resolve<Type extends RecordType>(
    name: string,
    type: Type,
    signal?: AbortSignal,
  ): Promise<Answer<Type>> {
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const question: Question = { name: normalizeName(name), type };
    const key = questionKey(question);
    const cached = this.#cached(key);
    // The key holds the type, so what is found under it has that type's records.
    if (cached !== undefined) return Promise.resolve(cached as Answer<Type>);
    const shared = this.#underWay.get(key) ?? this.#start(question, key);
    return untilAborted(shared, signal) as Promise<Answer<Type>>;
  }

  /** Ends the look-ups under way with `failure` (`closed`) and frees their sockets. */
  close(): void {
    this.#closing.abort();
  }

  #cached(key: string): Answer | undefined {
    const hit = this.#cache.get(key);
    if (hit === undefined || hit.value.kind === 'failure') return hit?.value;
    return { ...hit.value, ttlS: Math.ceil(hit.remainingMs / 1000) };
  }

  #start(question: Question, key: string): Promise<Answer> {
    const started = this.#lookUp(question).then(({ answer, ttlS, bytes }) => {
      this.#cache.set(key, answer, ttlS, bytes);
      return answer;
    });
    const shared = started.finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, shared);
    return shared;
  }

  /**
   * Asks, and asks again where a reply ends in a CNAME. The targets are looked for in the cache but
   * not among the questions under way: two names that point at each other would wait for ever.
   */
  async #lookUp(question: Question): Promise<LookUp> {
    if (!isAskable(question.name)) return this.#bounded({ ...NO_SUCH, name: question.name }, 0);
    const seen = new Set([question.name]);
    let name = question.name;
    let ttlS = Number.POSITIVE_INFINITY;
    let bytes = 0;
    for (;;) {
      const asked = await this.#ask({ name, type: question.type });
      if (asked.kind === 'failure') return this.#failed(asked);
      bytes += asked.reply.bytes;
      const meaning = interpretReply(asked.reply, { name, type: question.type }, seen);
      switch (meaning.kind) {
        case 'cname-loop':
        case 'cname-chain-too-long':
          return this.#failed(cnameFailure(meaning.kind, question.name));
        case 'alias': {
          name = meaning.target;
          ttlS = Math.min(ttlS, meaning.ttlS);
          const known = this.#cached(questionKey({ name, type: question.type }));
          if (known?.kind === 'failure') return this.#failed(known);
          if (known !== undefined) return this.#bounded(lessTtl(known, ttlS), bytes);
          if (!isAskable(name)) return this.#bounded({ ...NO_SUCH, name }, bytes);
          break;
        }
        default:
          return this.#bounded(lessTtl(meaning, ttlS), bytes);
      }
    }
  }

  async #ask(question: Question): Promise<ServersReply | Failure> {
    const entered = await this.#gate.enter();
    if (!entered) {
      return { kind: 'failure', reason: 'overloaded', detail: 'too many DNS look-ups under way' };
    }
    try {
      return await this.#servers.ask(question);
    } finally {
      this.#gate.leave();
    }
  }

  #bounded(answer: Exclude<Answer, Failure>, bytes: number): LookUp {
    const { maxTtlS, maxNegativeTtlS } = this.#options;
    const bound = answer.kind === 'records' ? maxTtlS : maxNegativeTtlS;
    const ttlS = Math.min(answer.ttlS, bound);
    return { answer: { ...answer, ttlS }, ttlS, bytes };
  }

  #failed({ reason, detail }: Omit<Failure, 'kind'>): LookUp {
    // Being closed or overloaded is our own state, and says nothing about the next question.
    const passing = reason === 'closed' || reason === 'overloaded';
    const ttlS = passing ? 0 : (this.#options.failureTtlS ?? DEFAULT_FAILURE_TTL_S);
    return { answer: { kind: 'failure', reason, detail }, ttlS, bytes: 0 };
  }
}

const NO_SUCH = { kind: 'nxdomain', ttlS: 0 } as const;

function questionKey(question: Question): string {
  return `${question.type} ${question.name}`;
}

function lessTtl<Value extends { readonly ttlS: number }>(answer: Value, ttlS: number): Value {
  return answer.ttlS <= ttlS ? answer : { ...answer, ttlS };
}

function cnameFailure(reason: 'cname-loop' | 'cname-chain-too-long', name: string): Failure {
  const what = reason === 'cname-loop' ? 'form a loop' : 'form too long a chain';
  return { kind: 'failure', reason, detail: `the CNAME records of ${name} ${what}` };
}

/** The promise's outcome, or a rejection with the signal's reason, whichever is first. */
function untilAborted<Value>(promise: Promise<Value>, signal?: AbortSignal): Promise<Value> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
