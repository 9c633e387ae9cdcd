import type { Clock } from '../base/clock.ts';
import type { LocalReply, Reply } from '../mail/reply.ts';
import type { ConnectFailure, RaceOptions, RaceResult } from './connect.ts';
import type { Candidate, Destination, TlsLevel } from './destination.ts';
import { SmtpClient } from './smtp-client.ts';
import type { Fault } from './smtp-client-answer.ts';
import type { RelayTls } from './smtp-client-tls.ts';
import { exhausted, internalFault, judgeSetup, routingTimedOut, type Tried } from './trouble.ts';

/** Settings of `relay.*` that a leg needs. All times in milliseconds. */
export interface LegOptions {
  readonly ehloName: string;
  readonly connectTimeoutMs: number;
  /** For the greeting, and for each further step until the session stands. */
  readonly greetingTimeoutMs: number;
  /** From a RCPT to its reply. */
  readonly rcptBudgetMs: number;
  /** From DATA to its reply. */
  readonly dataBudgetMs: number;
  /** How long a reply that missed the final dot's budget is still listened for, for the log. */
  readonly lateReplyMs: number;
  readonly sourceAddress: { readonly ipv4?: string; readonly ipv6?: string };
}

/** What a leg needs of the rest of the house; the same for all legs. */
export interface LegDependencies {
  readonly candidates: (
    destination: Destination,
    signal: AbortSignal,
  ) => Promise<
    | { readonly ok: true; readonly candidates: readonly Candidate[] }
    | { readonly ok: false; readonly reply: LocalReply }
  >;
  readonly raceConnect: (addresses: readonly string[], options: RaceOptions) => Promise<RaceResult>;
  readonly deadHosts: {
    find(address: string, port: number): { readonly reason: string } | undefined;
    markDead(address: string, port: number, reason: string): void;
    markAlive(address: string, port: number): void;
  };
  readonly tls: RelayTls;
  readonly clock: Clock;
  readonly options: LegOptions;
}

export type Found =
  | { readonly ok: true; readonly client: SmtpClient }
  | { readonly ok: false; readonly reply: Reply };

/** An address to connect to, or several to race. */
interface Attempt {
  readonly host: string;
  readonly addresses: readonly string[];
  readonly tls: TlsLevel;
}

/** Head start of each address over the next (RFC 8305 section 5). */
const ATTEMPT_DELAY_MS = 250;

/**
 * Looks for an MX that takes a session: hosts in order of preference, all addresses of a host
 * before the next host. `next` gives one session after the other, so that the caller can turn one
 * down (a 4xx to MAIL) and go on.
 */
export class HostSearch {
  readonly #dependencies: LegDependencies;
  readonly #destination: Destination;
  readonly #level: TlsLevel;
  readonly #dueMs: number;
  readonly #tried: Tried[] = [];
  /** Made when something is waited for: a connection that was kept needs none. */
  #abort: AbortController | undefined;
  #stopped = false;
  #attempts: Attempt[] | undefined;
  #client: SmtpClient | undefined;
  /** Milliseconds by phase, of the attempt that succeeded last. */
  readonly timingsMs: Record<string, number> = {};

  /** @param dueMs monotonic time at which it has to have an answer */
  constructor(dependencies: LegDependencies, destination: Destination, dueMs: number) {
    this.#dependencies = dependencies;
    this.#destination = destination;
    this.#dueMs = dueMs;
    // Credentials are never sent in plain text, so TLS is not optional with them.
    const { tls, credentials } = destination;
    this.#level = tls === 'opportunistic' && credentials !== undefined ? 'encrypt' : tls;
  }

  /** True once `stop` was called. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Gives up; a session that was found is dropped. */
  stop(): void {
    this.#stopped = true;
    this.#abort?.abort();
    this.#client?.destroy();
  }

  /** Tries this session, which stands already, before it looks for one; `stop` drops it as well. */
  adopt(client: SmtpClient): void {
    this.#client = client;
  }

  /** The session found last is not it. */
  turnDown(client: SmtpClient, fault: Fault): void {
    this.#tried.push({ host: client.host, address: client.address, step: 'mail', fault });
    client.quit();
  }

  /** @returns the next session, or the reply when there is none or time is up */
  async next(): Promise<Found> {
    const refused = this.#attempts === undefined ? await this.#route() : undefined;
    if (refused !== undefined) return { ok: false, reply: refused };
    while (!this.stopped && this.#remainingMs() > 0) {
      const attempt = this.#attempts?.shift();
      if (attempt === undefined) break;
      const client = await this.#connect(attempt);
      if (client === undefined) continue;
      this.#client = client;
      if (await this.#setUp(client, attempt)) return { ok: true, client };
    }
    return { ok: false, reply: this.#exhausted() };
  }

  get #signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#stopped) this.#abort.abort();
    return this.#abort.signal;
  }

  #exhausted(): Reply {
    return exhausted(this.#destination.domain, this.#level, this.#tried);
  }

  #remainingMs(): number {
    return this.#dueMs - this.#dependencies.clock.monotonicMs();
  }

  async #route(): Promise<Reply | undefined> {
    const { clock, candidates } = this.#dependencies;
    const startMs = clock.monotonicMs();
    const cancel = clock.after(Math.max(0, this.#remainingMs()), () => this.stop());
    try {
      const routed = await candidates(this.#destination, this.#signal);
      if (!routed.ok) return routed.reply;
      this.#attempts = routed.candidates.map((one) => ({ ...one, tls: this.#level }));
      this.timingsMs.routing = clock.monotonicMs() - startMs;
      return undefined;
    } catch (error) {
      if (this.stopped) return routingTimedOut(this.#destination.domain);
      return internalFault(error);
    } finally {
      cancel();
    }
  }

  async #connect(attempt: Attempt): Promise<SmtpClient | undefined> {
    const { clock, deadHosts, options, raceConnect, tls } = this.#dependencies;
    const { port } = this.#destination;
    const { host } = attempt;
    const addresses = attempt.addresses.filter((address) => {
      const dead = deadHosts.find(address, port);
      if (dead !== undefined) this.#unreachable(host, address, `${dead.reason} (a moment ago)`);
      return dead === undefined;
    });
    if (addresses.length === 0) return undefined;
    const startMs = clock.monotonicMs();
    const timeoutMs = Math.min(options.connectTimeoutMs, this.#remainingMs());
    const result = await raceConnect(addresses, {
      port,
      timeoutMs,
      attemptDelayMs: ATTEMPT_DELAY_MS,
      sourceAddress: options.sourceAddress,
      signal: this.#signal,
      clock,
    });
    for (const failure of result.failures) {
      this.#unreachable(host, failure.address, failure.error);
      if (isHostsFault(failure, timeoutMs < options.connectTimeoutMs)) {
        deadHosts.markDead(failure.address, port, failure.error);
      }
    }
    if (!result.ok) return undefined;
    const { socket, address } = result;
    this.timingsMs.connect = clock.monotonicMs() - startMs;
    this.#putBack(attempt, address, result.failures);
    return new SmtpClient({
      socket,
      host,
      address,
      ehloName: options.ehloName,
      startTls:
        attempt.tls === 'none'
          ? 'never'
          : attempt.tls === 'opportunistic'
            ? 'if-offered'
            : 'required',
      tlsOptions: tls.options(attempt.tls),
      stepTimeoutMs: options.greetingTimeoutMs,
      setupDueMs: this.#dueMs,
      clock,
    });
  }

  /** The host's other addresses come next, before the next host. */
  #putBack(attempt: Attempt, address: string, failures: readonly ConnectFailure[]): void {
    const failed = failures.map((failure) => failure.address);
    const addresses = attempt.addresses.filter((one) => one !== address && !failed.includes(one));
    if (addresses.length > 0) this.#attempts?.unshift({ ...attempt, addresses });
  }

  async #setUp(client: SmtpClient, attempt: Attempt): Promise<boolean> {
    const { clock, deadHosts } = this.#dependencies;
    const { credentials, port } = this.#destination;
    const startMs = clock.monotonicMs();
    let result = await client.open();
    if (result.ok && credentials !== undefined) result = await client.authenticate(credentials);
    const { host, address } = client;
    if (result.ok) {
      deadHosts.markAlive(address, port);
      this.timingsMs.greeting = clock.monotonicMs() - startMs - (client.tlsMs ?? 0);
      if (client.tlsMs !== undefined) this.timingsMs.tls = client.tlsMs;
      return true;
    }
    const { step, fault } = result;
    this.#tried.push({ host, address, step, fault });
    if (judgeSetup(attempt.tls, step, fault) === 'plain') {
      this.#attempts?.unshift({ host, addresses: [address], tls: 'none' });
    }
    return false;
  }

  #unreachable(host: string, address: string, detail: string): void {
    this.#tried.push({ host, address, step: 'connect', fault: { kind: 'closed', detail } });
  }
}

const HOSTS_FAULTS = ['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'ENETUNREACH'];

/** Errors of our own (no file descriptors, a wrong source address) say nothing about the host. */
function isHostsFault({ code }: ConnectFailure, cutShort: boolean): boolean {
  if (code === 'ETIMEDOUT') return !cutShort;
  return code !== undefined && HOSTS_FAULTS.includes(code);
}
