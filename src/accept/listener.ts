import type { AddressInfo } from 'node:net';
import { createSecureContext } from 'node:tls';
import { checkCertificates } from '../base/certificates.ts';
import type { Clock } from '../base/clock.ts';
import { errorMessage, WaxsealError } from '../base/errors.ts';
import type { TransactionFactory } from '../mail/transaction.ts';
import { type AllowList, parseAllowList } from './allow-list.ts';
import { AuthLimiter } from './auth-limiter.ts';
import type { Session } from './session.ts';
import { type CountedSession, SessionCounts } from './session-counts.ts';
import type { SessionLimits } from './session-host.ts';
import {
  type AuthOutcome,
  type ListenerTls,
  type ServerHost,
  SessionServer,
  tlsOptions,
} from './session-server.ts';
import { PasswordChecker, type Users } from './users.ts';

/** The slice of the configuration that the accepting side needs. */
export interface ListenerOptions {
  /** Our name in greeting and EHLO, an FQDN. */
  readonly name: string;
  /** Networks whose clients may send, e.g. `192.0.2.0/24`. */
  readonly allow: readonly string[];
  /** Undefined: no STARTTLS. */
  readonly tls: ListenerTls | undefined;
  /** Names of client certificates that may send; empty: any that the client CA signed. */
  readonly certificateNames: readonly string[];
  /** Undefined: no AUTH. */
  readonly users: Users | undefined;
  readonly limits: SessionLimits;
}

/** What may change while it listens. */
export type ListenerAccess = Pick<ListenerOptions, 'tls' | 'users' | 'allow'>;

export interface ListenerParts {
  readonly clock: Clock;
  readonly transactions: TransactionFactory;
  /** For the debug log. */
  readonly onEvent?: (name: string, details: Readonly<Record<string, unknown>>) => void;
  /** A bug, or an error that nobody expected; the client got 451. */
  readonly onFault?: (where: string, error: unknown) => void;
}

/** Sockets that do not take our last reply are closed after this time. */
const LINGER_MS = 2000;

/** The accepting side: listening sockets, their sessions, and what these share. */
export class Listener {
  readonly #parts: ListenerParts;
  readonly #servers: SessionServer[] = [];
  readonly #sessions = new Map<string, Session>();
  /** A session that we ended does not count, while its socket lingers. */
  readonly #counts: SessionCounts;
  readonly #passwords = new PasswordChecker();
  readonly #limiter: AuthLimiter;
  readonly #certificateNames: ReadonlySet<string>;
  readonly #host: ServerHost;
  #allowList: AllowList;
  #tls: ListenerTls | undefined;
  #users: Users | undefined;
  #draining = false;
  #whenEmpty: (() => void)[] = [];

  /**
   * @throws WaxsealError `client-list-invalid` or `tls-material-invalid`
   */
  constructor(options: ListenerOptions, parts: ListenerParts) {
    this.#parts = parts;
    this.#allowList = parseAllowList(options.allow);
    checkTls(options.tls);
    this.#tls = options.tls;
    this.#users = options.users;
    this.#certificateNames = new Set(options.certificateNames.map((name) => name.toLowerCase()));
    const { authFailures, sessions, sessionsPerClient } = options.limits;
    this.#limiter = new AuthLimiter(parts.clock, authFailures);
    this.#counts = new SessionCounts(sessions, sessionsPerClient);
    this.#host = this.#makeHost(options);
  }

  /** Open sessions. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /**
   * Listens on one more address.
   *
   * @param address IP address or name, and port; 0 for any free one
   * @returns the port
   * @throws WaxsealError `listen-failed`
   */
  listen(address: { readonly host: string; readonly port: number }): Promise<number> {
    const server = new SessionServer(this.#host, this.#tls);
    return new Promise((resolve, reject) => {
      server.server.once('error', (cause: Error) => {
        const where = `${address.host}:${address.port}`;
        const hint = 'choose another address in listen, or stop what listens there';
        const message = `cannot listen on ${where}: ${cause.message}`;
        reject(new WaxsealError('listen-failed', message, { cause, hint }));
      });
      server.listen({ host: address.host, port: address.port }, () => {
        this.#servers.push(server);
        resolve((server.server.address() as AddressInfo).port);
      });
    });
  }

  /**
   * Takes no more connections; running transactions finish; other sessions hear 421 at their next
   * command.
   *
   * @param timeoutMs after this time the remaining sessions are closed
   * @returns true when no session had to be closed for that
   */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#draining = true;
    for (const { server } of this.#servers) server.close();
    let cancel = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#parts.clock.after(timeoutMs, resolve);
    });
    await Promise.race([this.#empty(), late]);
    cancel();
    const drained = this.#sessions.size === 0;
    await this.close();
    return drained;
  }

  /** Closes listening sockets and sessions, whatever they do. */
  async close(): Promise<void> {
    this.#draining = true;
    for (const { server } of this.#servers) server.close();
    for (const session of this.#sessions.values()) session.shutDown();
    const cancel = this.#parts.clock.after(LINGER_MS, () => {
      for (const session of this.#sessions.values()) session.destroy();
    });
    await this.#empty();
    cancel();
  }

  /**
   * Swaps what the changes name, all of it or nothing. Certificates hold for handshakes from now on
   * (undefined: STARTTLS is not offered any more), users for AUTH from now on (who is authenticated
   * stays so), the client list for each MAIL from now on.
   *
   * @throws WaxsealError `tls-material-invalid` or `client-list-invalid`; the old state stays
   */
  update(changes: Partial<ListenerAccess>): void {
    const { tls, users, allow } = { tls: this.#tls, users: this.#users, ...changes };
    const allowList = allow === undefined ? this.#allowList : parseAllowList(allow);
    checkTls(tls);
    if (tls !== undefined) {
      for (const server of this.#servers) server.updateSecureContext(tlsOptions(tls));
    }
    this.#tls = tls;
    this.#users = users;
    this.#allowList = allowList;
  }

  #makeHost({ name, limits }: ListenerOptions): ServerHost {
    const listener = this;
    const { clock, transactions, onEvent, onFault } = this.#parts;
    return {
      clock,
      transactions,
      limits,
      name,
      get draining() {
        return listener.#draining;
      },
      get offersTls() {
        return listener.#tls !== undefined;
      },
      get offersAuth() {
        return listener.#tls !== undefined && listener.#users !== undefined;
      },
      get takesCertificates() {
        return listener.#tls?.clientCa !== undefined;
      },
      get overfull() {
        return listener.#counts.all > limits.sessions;
      },
      allowsAddress: (address) => this.#allowList.allows(address),
      allowsCertificate: (names) =>
        this.#certificateNames.size === 0 || names.some((one) => this.#certificateNames.has(one)),
      sessionsOf: (address) => this.#counts.of(address),
      tooManyStrangers: (address) => this.#counts.tooManyStrangers(address),
      opened: (session) => this.#opened(session),
      admitted: (session) => this.#counts.admit(session),
      leaving: (session) => this.#counts.remove(session),
      closed: (session) => this.#closed(session),
      authenticate: (address, user, password) => this.#authenticate(address, user, password),
      event: (event, details) => onEvent?.(event, details),
      fault: (where, error) => onFault?.(where, error),
    };
  }

  #opened(session: Session): void {
    const { id, address } = session;
    this.#sessions.set(id, session);
    this.#counts.add(session, !this.#allowList.allows(address));
    this.#parts.onEvent?.('session-opened', { id, address });
  }

  #closed(session: CountedSession): void {
    const { id, address } = session;
    this.#counts.remove(session);
    if (!this.#sessions.delete(id)) return;
    this.#parts.onEvent?.('session-closed', { id, address });
    if (this.#sessions.size > 0) return;
    const waiting = this.#whenEmpty;
    this.#whenEmpty = [];
    for (const resolve of waiting) resolve();
  }

  #empty(): Promise<void> {
    if (this.#sessions.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEmpty.push(resolve);
    });
  }

  async #authenticate(address: string, name: string, password: string): Promise<AuthOutcome> {
    const users = this.#users;
    if (users === undefined) return refused(454, 'AUTH is not possible now');
    const verdict = await this.#passwords.check(users, name, password, {
      isBlocked: () => this.#limiter.isBlocked(address),
      judged: (right) =>
        right ? this.#limiter.succeeded(address, name) : this.#limiter.failed(address, name),
    });
    switch (verdict) {
      case 'right':
        return { kind: 'user', name };
      case 'wrong':
        this.#parts.onEvent?.('auth-failed', { address, user: name });
        return refused(535, 'User name or password is wrong');
      case 'busy':
        return refused(454, 'Too many attempts at one time, try again later');
      case 'blocked':
        this.#parts.onEvent?.('auth-blocked', { address });
        return refused(454, 'Too many failed attempts, try again in 10 minutes');
    }
  }
}

function refused(code: number, text: string): AuthOutcome {
  return { kind: 'refused', code, text };
}

/**
 * Checks that certificate, key and authorities can be used.
 *
 * @throws WaxsealError `tls-material-invalid`
 */
export function checkTls(tls: ListenerTls | undefined): void {
  if (tls === undefined) return;
  if (tls.clientCa !== undefined) checkCertificates('tls.clientCaFile', tls.clientCa);
  try {
    createSecureContext(tlsOptions(tls));
  } catch (cause) {
    const message = `tls.certFile, tls.keyFile or tls.clientCaFile: ${errorMessage(cause)}`;
    const hint = 'certificate and key must be PEM and belong together';
    throw new WaxsealError('tls-material-invalid', message, { cause, hint });
  }
}
