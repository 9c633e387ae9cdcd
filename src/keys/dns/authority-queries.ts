import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Clock } from '../../base/clock.ts';
import { DnsGate } from '../../base/dns-gate.ts';
import type { DnsReply, QueryKind, Question } from '../../base/dns-message.ts';
import { type DnsServer, exchange, exchangeOverTcp } from '../../base/dns-transport.ts';

/** What asking one server gave. */
export type Asked =
  | { readonly kind: 'reply'; readonly reply: DnsReply }
  | { readonly kind: 'unreachable'; readonly detail: string };

export interface AuthorityQueriesOptions {
  /** For one try, in milliseconds. */
  readonly timeoutMs: number;
  /** Tries for a server that stays silent. */
  readonly attempts: number;
  /** Questions under way at one time. */
  readonly concurrency: number;
  /** Questions in all; afterwards every server counts as unreachable. */
  readonly maxQueries: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * The questions of one check: each server is asked each question once, however often the answer
 * is looked at, and everything is bounded: tries, questions under way, questions in all.
 */
export class AuthorityQueries {
  readonly #options: AuthorityQueriesOptions;
  readonly #gate: DnsGate;
  readonly #asked = new Map<string, Promise<Asked>>();
  /** Servers that let all tries of a question pass: one dead server must not cost its time-out again and again. */
  readonly #silent = new Map<string, string>();

  constructor(options: AuthorityQueriesOptions) {
    const { concurrency, maxQueries, timeoutMs, attempts, clock } = options;
    this.#options = options;
    this.#gate = new DnsGate({
      width: concurrency,
      maxWaiting: maxQueries,
      // The signal ends the wait long before this.
      maxWaitMs: Math.min(timeoutMs * attempts * maxQueries, 3_600_000),
      clock,
    });
  }

  /** Asks without recursion; over TCP where the answer was truncated. Never rejects. */
  ask(server: DnsServer, question: Question): Promise<Asked> {
    return this.#once('iterative', server, question);
  }

  /** Asks a resolver. Never rejects. */
  askResolver(
    server: DnsServer,
    question: Question,
    kind: 'authenticated' | 'unchecked',
  ): Promise<Asked> {
    return this.#once(kind, server, question);
  }

  /** Asks over TCP at once. Never rejects. */
  askOverTcp(server: DnsServer, question: Question): Promise<Asked> {
    return this.#once('tcp', server, question);
  }

  #once(kind: QueryKind | 'tcp', server: DnsServer, question: Question): Promise<Asked> {
    const key = `${kind} ${server.address} ${server.port} ${question.type} ${question.name}`;
    const known = this.#asked.get(key);
    if (known !== undefined) return known;
    if (this.#asked.size >= this.#options.maxQueries) {
      const detail = `not asked: the check had put ${this.#options.maxQueries} questions already`;
      return Promise.resolve({ kind: 'unreachable', detail });
    }
    const asking = this.#ask(kind, server, question);
    this.#asked.set(key, asking);
    return asking;
  }

  async #ask(kind: QueryKind | 'tcp', server: DnsServer, question: Question): Promise<Asked> {
    const { timeoutMs, clock, signal, attempts } = this.#options;
    const who = `${server.address} ${server.port}`;
    let detail = 'not asked: too many questions were waiting';
    if (!(await this.#gate.enter())) return { kind: 'unreachable', detail };
    try {
      const silence = this.#silent.get(who);
      if (silence !== undefined) return { kind: 'unreachable', detail: silence };
      const limits = { timeoutMs, clock, signal };
      for (let attempt = 0; attempt < attempts; attempt += 1) {
        const result =
          kind === 'tcp'
            ? await exchangeOverTcp(server, question, { ...limits, queryKind: 'iterative' })
            : await exchange(server, question, { ...limits, queryKind: kind });
        if (result.kind === 'reply') return result;
        detail = result.kind === 'closed' ? 'the check ran out of time' : result.detail;
        if (result.kind !== 'timeout') return { kind: 'unreachable', detail };
      }
      // Over TCP alone it says nothing about UDP.
      if (kind !== 'tcp') this.#silent.set(who, detail);
      return { kind: 'unreachable', detail };
    } finally {
      this.#gate.leave();
    }
  }
}

/** True for an address that this machine has no way to reach: IPv6 where it has none itself. */
export function isOutOfReach(address: string, hasIpv6: boolean): boolean {
  return isIPv6(address) && address !== '::1' && !hasIpv6;
}

/** True when an interface has an IPv6 address that is good beyond its own link. */
export function machineHasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(
      ({ family, internal, address }) =>
        family === 'IPv6' && !internal && !/^fe[89ab]/i.test(address),
    ),
  );
}
