import { errorMessage } from '../base/errors.ts';
import { printable } from '../base/printable.ts';
import type { MailParameters } from '../mail/envelope.ts';
import { type LocalReply, localReply, type RemoteReply, type Reply } from '../mail/reply.ts';
import type { TlsLevel } from './destination.ts';
import type { Answer, ContentResult, Fault, SetupStep } from './smtp-client-answer.ts';
import type { ServerFacts } from './smtp-client-facts.ts';

/*
 * What each failure at an MX means (contract, "Failures"): for this address, for this recipient,
 * for the message; next address, temporary, final, unknown. A phase is what was asked for, a column
 * is what came of it:
 *
 * - `temporary`, `permanent`: the MX's own 4xx, 5xx.
 * - `silent`: no answer in time.
 * - `lost`: the connection ended.
 * - `broken`: octets that are no SMTP reply, or a reply that nobody asked for. Never a 2xx for the
 *   client.
 *
 * Up to MAIL nothing was promised, so the next address is tried. From the first reply to RCPT on
 * the answers are this host's; only a connection lost while no content has gone out is rebuilt, and
 * has to give the same answers. Behind the final dot a missing answer is an unknown outcome.
 */
type Consequence = 'next-address' | 'final' | 'rebuild';
type Column = 'temporary' | 'permanent' | 'silent' | 'lost' | 'broken';
export type Phase = 'mail' | 'rcpt' | 'data' | 'before-content';

const ROWS: Readonly<Record<Phase, Readonly<Record<Column, Consequence>>>> = {
  mail: {
    temporary: 'next-address',
    permanent: 'final',
    silent: 'next-address',
    lost: 'next-address',
    broken: 'next-address',
  },
  rcpt: {
    temporary: 'final',
    permanent: 'final',
    silent: 'final',
    lost: 'final',
    broken: 'final',
  },
  data: {
    temporary: 'final',
    permanent: 'final',
    silent: 'final',
    lost: 'rebuild',
    broken: 'final',
  },
  'before-content': {
    temporary: 'final',
    permanent: 'final',
    silent: 'final',
    lost: 'rebuild',
    broken: 'final',
  },
};

/** Who was spoken to. */
export interface Endpoint {
  readonly host: string;
  readonly address: string;
}

export type Verdict =
  | { readonly kind: 'go-on'; readonly reply: RemoteReply }
  | { readonly kind: Consequence; readonly reply: Reply; readonly fault: Fault };

/** Decides on the answer to a command. */
export function judge(phase: Phase, answer: Answer, endpoint: Endpoint): Verdict {
  if (answer.kind === 'reply') {
    if (answer.reply.code < 400) return { kind: 'go-on', reply: answer.reply };
    const fault: Fault = { kind: 'refused', reply: answer.reply };
    return { kind: ROWS[phase][columnOf(fault)], reply: answer.reply, fault };
  }
  const reply = faultReply(answer, endpoint);
  return { kind: ROWS[phase][columnOf(answer)], reply, fault: answer };
}

/**
 * Decides on a session that could not be set up: RFC 7435 has an opportunistic client go on without
 * TLS when TLS does not work; octets injected before the handshake are an attack and not that.
 */
export function judgeSetup(level: TlsLevel, step: SetupStep, fault: Fault): 'plain' | 'next' {
  const { kind } = fault;
  const tlsDoesNotWork =
    kind === 'tls' || kind === 'refused' || kind === 'timeout' || kind === 'closed';
  return level === 'opportunistic' && step === 'tls' && tlsDoesNotWork ? 'plain' : 'next';
}

/** How the final dot ended; `in-doubt`: the MX may have taken the message (RFC 1047). */
export type DotResult =
  /** `settled`: the connection is in order and holds nothing of the message any more. */
  | { readonly kind: 'answered'; readonly reply: Reply; readonly settled: boolean }
  | { readonly kind: 'in-doubt'; readonly reply: LocalReply; readonly why: string }
  | { readonly kind: 'not-sent'; readonly reply: Reply };

/** @param settled the connection is in order behind the answer */
export function judgeContent(
  result: ContentResult,
  endpoint: Endpoint,
  settled: boolean,
): DotResult {
  switch (result.kind) {
    case 'reply':
      return { kind: 'answered', reply: result.reply, settled };
    case 'not-sent':
      return { kind: 'not-sent', reply: faultReply(result.fault, endpoint) };
    case 'unknown': {
      const why = faultText(result.fault);
      const code = columnOf(result.fault) === 'broken' ? '4.5.0' : '4.4.2';
      const text = `${named(endpoint)} gave no valid answer to the end of the message (${why}); it is not known whether it took it`;
      return { kind: 'in-doubt', reply: localReply(451, code, 'relay.in-doubt', text), why };
    }
  }
}

function columnOf(fault: Fault): Column {
  switch (fault.kind) {
    case 'timeout':
      return 'silent';
    case 'malformed':
    case 'out-of-step':
    case 'injected':
      return 'broken';
    case 'refused':
      return fault.reply.code < 500 ? 'temporary' : 'permanent';
    default:
      return 'lost';
  }
}

function faultReply(fault: Fault, endpoint: Endpoint): LocalReply {
  const text = `${named(endpoint)}: ${faultText(fault)}`;
  if (fault.kind === 'source') {
    return localReply(
      451,
      '4.3.0',
      'relay.spool',
      `The message could not be read back: ${fault.detail}`,
    );
  }
  switch (columnOf(fault)) {
    case 'broken':
      return localReply(451, '4.5.0', 'relay.protocol', `${text}; that is no valid SMTP`);
    case 'silent':
      return localReply(451, '4.4.2', 'relay.timeout', text);
    default:
      return localReply(451, '4.4.2', 'relay.connection-lost', text);
  }
}

/** The connection was lost and could not be had again as it was. */
export function notRebuilt(why: string): LocalReply {
  const text = `The connection to the MX was lost and could not be set up again: ${why}`;
  return localReply(451, '4.4.2', 'relay.connection-lost', printable(text, 400));
}

export function gaveUp(): LocalReply {
  return localReply(451, '4.4.2', 'relay.given-up', 'The transaction was given up');
}

/** The DNS took all the time that the recipient had. */
export function routingTimedOut(domain: string): LocalReply {
  const text = `${domain}: its mail servers could not be looked up in time; try again later`;
  return localReply(451, '4.4.3', 'relay.routing', text);
}

/** A fault of our own met the transaction; never a bounce. */
export function internalFault(error: unknown): LocalReply {
  return localReply(451, '4.3.0', 'relay.internal', printable(errorMessage(error), 200));
}

/** An address that was tried, and why it was not it. */
export interface Tried extends Endpoint {
  readonly step: 'connect' | SetupStep | 'mail';
  readonly fault: Fault;
}

const MAX_LISTED = 8;

/** No address is left: the reply that says most of what was met. */
export function exhausted(domain: string, level: TlsLevel, tried: readonly Tried[]): Reply {
  const refusal = tried.findLast(({ step, fault }) => step === 'mail' && fault.kind === 'refused');
  if (refusal?.fault.kind === 'refused') return refusal.fault.reply;
  const last = tried.at(-1)?.fault;
  if (last?.kind === 'refused' && tried.every(refusedForGood)) return last.reply;
  const lines = tried.slice(0, MAX_LISTED).map((one) => `${named(one)}: ${faultText(one.fault)}`);
  if (tried.length > MAX_LISTED) lines.push(`and ${tried.length - MAX_LISTED} more`);
  if (tried.some(({ step }) => step === 'auth')) {
    return localReply(451, '4.7.8', 'relay.auth', [
      `Authentication for ${domain} failed`,
      ...lines,
    ]);
  }
  if (tried.some((one) => withoutTls(level, one))) {
    return localReply(451, '4.7.5', 'relay.tls', [`No safe connection for ${domain}`, ...lines]);
  }
  if (tried.length > 0 && tried.every(({ fault }) => columnOf(fault) === 'broken')) {
    return localReply(451, '4.5.0', 'relay.protocol', [`No valid SMTP for ${domain}`, ...lines]);
  }
  return localReply(451, '4.4.1', 'relay.no-host', [`No MX for ${domain} is available`, ...lines]);
}

/** It greets with 5xx: there is no mail service for us here (RFC 5321 section 3.1). */
function refusedForGood({ step, fault }: Tried): boolean {
  return step === 'greeting' && fault.kind === 'refused' && fault.reply.code >= 500;
}

function withoutTls(level: TlsLevel, { step, fault }: Tried): boolean {
  if (fault.kind === 'injected') return true;
  const required = level === 'encrypt' || level === 'verify';
  // A server that knows HELO only has no STARTTLS.
  const heloOnly = step === 'ehlo' && fault.kind === 'refused' && fault.reply.code >= 500;
  return required && (step === 'tls' || heloOnly);
}

/**
 * What the message needs and the server does not have. It is refused and not downgraded: that
 * would break the signature (RFC 6152 section 3, RFC 6531 section 3.5, RFC 1870 section 6.1).
 *
 * @param extraBytes octets that we may add to the client's SIZE
 */
export function lacking(
  mail: MailParameters,
  extraBytes: number,
  facts: ServerFacts,
  endpoint: Endpoint,
): LocalReply | undefined {
  const host = named(endpoint);
  if (mail.smtpUtf8 && !facts.smtpUtf8) {
    return localReply(550, '5.6.7', 'relay.smtputf8', `${host} does not offer SMTPUTF8`);
  }
  if (mail.body === '8BITMIME' && !facts.eightBitMime) {
    return localReply(550, '5.6.3', 'relay.8bitmime', `${host} does not offer 8BITMIME`);
  }
  const { sizeLimit } = facts;
  const bytes = (mail.sizeBytes ?? 0) + extraBytes;
  if (mail.sizeBytes !== undefined && sizeLimit !== undefined && bytes > sizeLimit) {
    const text = `${host} takes at most ${sizeLimit} octets; this may come to ${bytes}`;
    return localReply(552, '5.3.4', 'relay.size', text);
  }
  return undefined;
}

function named({ host, address }: Endpoint): string {
  return host === address ? `[${address}]` : `${host}[${address}]`;
}

function faultText(fault: Fault): string {
  if (fault.kind !== 'refused') return printable(fault.detail, 200);
  const { code, lines, command } = fault.reply;
  return printable(`${command} was answered ${code} ${lines.join(' ')}`, 200);
}
