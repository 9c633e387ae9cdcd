import type { Client } from './client.ts';
import type { Mailbox, MailParameters } from './envelope.ts';
import type { Reply } from './reply.ts';

/**
 * What the accepting side drives: one MAIL..DATA of a client (RFC 5321 section 3.3).
 *
 * Order of calls: `mail` once; if positive, `rcpt` for each recipient (without waiting for one
 * another); once all have answered `data`; if its reply is 354, `content` for each piece, then
 * `end`. `abort` may come at any time and ends it. After `end` has answered, or after `abort`, the
 * object is spent. No method throws for a refusal: refusals are replies.
 */
export interface Transaction {
  /** Shown in replies, in Received and in the log. */
  readonly id: string;
  mail(parameters: MailParameters): Promise<Reply>;
  rcpt(recipient: Mailbox): Promise<Reply>;
  /** @returns a reply with code 354, or the refusal of DATA */
  data(): Promise<Reply>;
  /**
   * A piece of the decoded, normalised message (CRLF line ends only, no NUL). The transaction may
   * keep the buffer: the caller must not write to it again.
   *
   * @param sole nobody else looks at the memory behind the piece, so the transaction may free it
   * @returns a promise when the caller has to wait before the next piece (back-pressure)
   */
  content(piece: Buffer, sole: boolean): void | Promise<void>;
  /**
   * The client sent its final dot.
   *
   * @param facts what the decoder saw on the way
   */
  end(facts: ContentFacts): Promise<Reply>;
  /**
   * The client gave up: RSET, QUIT, EHLO, a lost connection or a time-out. When the final dot of
   * the leg has gone out already, the MX's answer is still awaited and logged.
   */
  abort(reason: AbortReason): void;
}

export type AbortReason =
  | 'reset'
  | 'quit'
  | 'connection-lost'
  | 'timeout'
  | 'tls-started'
  /** The content went over limits.messageBytes; the client gets 552 5.3.4. */
  | 'too-large'
  /** The time for a drain is up. */
  | 'shutdown';

/** What the content decoder noticed about a whole message. */
export interface ContentFacts {
  /** Octets of the normalised content (CRLF line ends, dots decoded). */
  readonly bytes: number;
  /** Bare CR or bare LF were seen (and normalised, unless refused). */
  readonly strayLineEnds: boolean;
  /** A NUL octet was seen; its message is refused. */
  readonly nul: boolean;
  /** Length in octets, without CRLF, of the longest line. */
  readonly longestLine: number;
}

/** The transactions of one client session, one after the other. */
export interface SessionTransactions {
  /** Makes the transaction for a client's MAIL; the one before it is spent by then. */
  begin(client: Client): Transaction;
  /** The session is over; a transaction of it may still wait for an MX. */
  close(): void;
}

/** Makes what a new session takes its transactions from. */
export interface TransactionFactory {
  openSession(): SessionTransactions;
}
