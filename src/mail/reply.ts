/**
 * SMTP replies as values (RFC 5321 section 4.2, enhanced codes RFC 2034 and RFC 3463).
 *
 * A reply is either *local* (Waxseal made it: it carries an enhanced status code and, on the wire,
 * ends in `[waxseal RULE TRANSACTION-ID]`) or *remote* (an MX said it: passed on verbatim, never
 * with that suffix). Only `accept/` turns a reply into octets; see `renderReply`.
 */

/** The name of the rule that made a local reply, e.g. `client.allowed`. */
export type RuleName = string;

/** A reply that Waxseal makes itself. */
export interface LocalReply {
  readonly origin: 'local';
  /** Reply code, 200 to 599. */
  readonly code: number;
  /** Enhanced status code `class.subject.detail` (RFC 3463); undefined only for 220, EHLO, 3xx. */
  readonly enhanced: string | undefined;
  /** Text lines without codes; at least one. */
  readonly lines: readonly string[];
  readonly rule: RuleName;
}

/** A reply that a remote server gave, bounded by the reply parser but otherwise as received. */
export interface RemoteReply {
  readonly origin: 'remote';
  /** Reply code as received, 200 to 599. */
  readonly code: number;
  /** Text of each line after code and separator, latin1-decoded, neither folded nor sanitised. */
  readonly lines: readonly string[];
  /** Host name of the server that answered. */
  readonly host: string;
  /** IP address of the server that answered. */
  readonly address: string;
  /** The command that it answers: `greeting`, `EHLO`, `MAIL`, `RCPT`, `DATA`, `.` … */
  readonly command: string;
}

export type Reply = LocalReply | RemoteReply;

/**
 * Makes a local reply.
 *
 * @param code reply code, e.g. 451
 * @param enhanced enhanced status code of the same class, e.g. `4.4.3`
 * @param rule name of the rule that decided, shown to the client and in the log
 * @param text one line, or several; what was wrong and what to do
 */
export function localReply(
  code: number,
  enhanced: string | undefined,
  rule: RuleName,
  text: string | readonly string[],
): LocalReply {
  return { origin: 'local', code, enhanced, rule, lines: typeof text === 'string' ? [text] : text };
}

/** True for 2xx. */
export function isPositive(reply: Reply): boolean {
  return reply.code >= 200 && reply.code < 300;
}

/** True for 4xx: the client should try again later. */
export function isTransient(reply: Reply): boolean {
  return reply.code >= 400 && reply.code < 500;
}

/** True for 5xx: the client should give up. */
export function isPermanent(reply: Reply): boolean {
  return reply.code >= 500;
}
