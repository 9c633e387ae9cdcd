import type { Clock } from '../base/clock.ts';
import type { TransactionFactory } from '../mail/transaction.ts';
import type { CountedSession } from './session-counts.ts';

/** Bounds of the accepting side; the configuration's `limits`. */
export interface SessionLimits {
  /** Sessions at one time; one more hears 421. Clients not allowed yet share half of them. */
  readonly sessions: number;
  /**
   * Sessions of one client address; one more hears 451 4.3.2 at MAIL, or 421 in the greeting if
   * its client is not allowed yet.
   */
  readonly sessionsPerClient: number;
  /** Octets of one message's normalised content. */
  readonly messageBytes: number;
  /** RCPT commands handed on in one transaction. */
  readonly recipients: number;
  /** Time in which a client has to give a command, or 4 KiB of content. */
  readonly idleMs: number;
  /** Failed AUTH attempts of one client address in 10 minutes. */
  readonly authFailures: number;
  /** Commands in one session that make no sense, or come from a client that is not allowed. */
  readonly protocolErrors: number;
}

/** What a session asks of the listener it belongs to; answers may change with a reload. */
export interface SessionHost {
  readonly clock: Clock;
  readonly transactions: TransactionFactory;
  readonly limits: SessionLimits;
  /** Our name in greeting and EHLO. */
  readonly name: string;
  /** A shutdown began: sessions between transactions hear 421. */
  readonly draining: boolean;
  /** STARTTLS can be had. */
  readonly offersTls: boolean;
  /** There is a users file, so AUTH can be had under TLS. */
  readonly offersAuth: boolean;
  /** A client certificate can make a client allowed. */
  readonly takesCertificates: boolean;
  /** More sessions than `limits.sessions` are open. */
  readonly overfull: boolean;
  allowsAddress(address: string): boolean;
  allowsCertificate(names: readonly string[]): boolean;
  /** Open sessions of a client address. */
  sessionsOf(address: string): number;
  /** More sessions than may be have clients that are not allowed yet, in all or of this address. */
  tooManyStrangers(address: string): boolean;
  /** The session's client has become allowed by its password or its certificate. */
  admitted(session: CountedSession): void;
  /** The session was ended by us and counts no more, though its socket may linger. */
  leaving(session: CountedSession): void;
  /** The session's socket is closed. */
  closed(session: CountedSession): void;
  /** For the debug log. */
  event(name: string, details: Readonly<Record<string, unknown>>): void;
  /** A bug, or an I/O error that nobody expected. */
  fault(where: string, error: unknown): void;
}
