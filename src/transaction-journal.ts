import type { Clock } from './base/clock.ts';
import type { TransactionRecord } from './base/log.ts';
import { printable } from './base/printable.ts';
import type { Client } from './mail/client.ts';
import type { Mailbox, MailParameters } from './mail/envelope.ts';
import type { OutcomeKind, RecipientOutcome } from './mail/outcome.ts';
import { isPermanent, isPositive, localReply, type Reply } from './mail/reply.ts';
import type { SigningKey } from './mail/signer.ts';

/** Recipients listed in one record; more are counted. */
const MAX_LISTED_RECIPIENTS = 100;

/** What is said of a recipient whose RCPT was not answered before the transaction ended. */
const NO_ANSWER = localReply(451, '4.4.2', 'client.gone', 'Not answered before the end');

/** What the leg says of itself, for the record. */
export interface RemoteFacts {
  readonly host: string;
  readonly address: string;
  /** TLS protocol and cipher, or `none`. */
  readonly tls: string;
  /** The connection was that of the session's transaction before. */
  readonly reused: boolean;
  readonly timingsMs: Readonly<Record<string, number>>;
}

/** Collects what the one log record of a transaction says. */
export class TransactionJournal {
  readonly #id: string;
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #recipients = new Map<string, RecipientOutcome>();
  readonly #timingsMs: Record<string, number> = {};
  #phaseStartMs: number;
  #notListed = 0;
  #reversePath = '';
  #signatures: { d: string; s: string; a: string }[] = [];
  readonly notes: string[] = [];
  messageId: string | undefined;
  sizeBytes: number | undefined;
  /** Why the message went out without a signature. */
  unsigned: string | undefined;

  constructor(id: string, client: Client, clock: Clock) {
    this.#id = id;
    this.#client = client;
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
    this.#phaseStartMs = this.#startMs;
  }

  mail(parameters: MailParameters): void {
    this.#reversePath = parameters.reversePath?.address ?? '';
  }

  /** A recipient was named; this is what is said of it should no answer come. */
  asked(mailbox: Mailbox): void {
    if (this.#recipients.size < MAX_LISTED_RECIPIENTS || this.#recipients.has(mailbox.address)) {
      this.#list(mailbox, NO_ANSWER);
    } else {
      this.#notListed += 1;
    }
  }

  /** The reply that decides a recipient so far, after `asked`. */
  recipient(mailbox: Mailbox, reply: Reply): void {
    if (this.#recipients.has(mailbox.address)) this.#list(mailbox, reply);
  }

  #list({ address }: Mailbox, reply: Reply): void {
    const outcome = isPositive(reply) ? 'accepted' : outcomeOf(reply);
    this.#recipients.set(address, { recipient: address, outcome, reply });
  }

  /** The outcome of the whole message, for every recipient that was accepted at RCPT. */
  content(outcome: OutcomeKind, reply: Reply): void {
    for (const [address, entry] of this.#recipients) {
      if (isPositive(entry.reply)) this.#recipients.set(address, { ...entry, outcome, reply });
    }
  }

  signed(keys: readonly SigningKey[]): void {
    this.#signatures = keys.map(({ domain, selector, signer }) => ({
      d: domain,
      s: selector,
      a: signer.algorithm,
    }));
  }

  /** The phase that ran since the last call, or since the beginning, is over. */
  phase(name: string): void {
    const nowMs = this.#clock.monotonicMs();
    this.#timingsMs[name] = round(nowMs - this.#phaseStartMs);
    this.#phaseStartMs = nowMs;
  }

  /**
   * @param outcome how the transaction ended
   * @param reply the reply that the client got, or would have got
   * @param ended why it ended before its time, e.g. `connection-lost`
   */
  record(
    outcome: OutcomeKind,
    reply: Reply,
    remote: RemoteFacts | undefined,
    ended: string | undefined,
  ): TransactionRecord {
    const { address, heloName, protocol, identity, tls } = this.#client;
    return {
      id: this.#id,
      outcome,
      client: {
        address,
        helo: printable(heloName),
        protocol,
        ...(identity === undefined ? {} : { identity: printable(identity) }),
        ...(tls === undefined ? {} : { tls: `${tls.protocol} ${tls.cipher}` }),
      },
      reversePath: printable(this.#reversePath),
      recipients: [...this.#recipients.values()].map((entry) => ({
        address: printable(entry.recipient),
        outcome: entry.outcome,
        reply: replyText(entry.reply),
      })),
      ...(this.#notListed > 0 ? { recipientsNotListed: this.#notListed } : {}),
      ...(this.messageId === undefined ? {} : { messageId: printable(this.messageId) }),
      ...(this.sizeBytes === undefined ? {} : { sizeBytes: this.sizeBytes }),
      ...(this.#signatures.length > 0 ? { signatures: this.#signatures } : {}),
      ...(this.unsigned === undefined ? {} : { unsigned: printable(this.unsigned) }),
      ...(remote === undefined ? {} : { remote: remoteRecord(remote, reply) }),
      reply: replyText(reply),
      ...(ended === undefined ? {} : { ended }),
      ...(this.notes.length > 0 ? { notes: this.notes } : {}),
      timingsMs: {
        ...this.#timingsMs,
        ...remote?.timingsMs,
        total: round(this.#clock.monotonicMs() - this.#startMs),
      },
    };
  }
}

/** The outcome that a reply other than 2xx stands for. */
export function outcomeOf(reply: Reply): OutcomeKind {
  return isPermanent(reply) ? 'rejected' : 'deferred';
}

/** A reply as one printable line, bounded. */
export function replyText(reply: Reply): string {
  const enhanced = reply.origin === 'local' && reply.enhanced ? `${reply.enhanced} ` : '';
  const rule = reply.origin === 'local' ? ` [${reply.rule}]` : '';
  return `${reply.code} ${enhanced}${printable(reply.lines.join(' / '), 500)}${rule}`;
}

function remoteRecord(remote: RemoteFacts, reply: Reply) {
  const { host, address, tls, reused } = remote;
  const said = reply.origin === 'remote' ? { reply: replyText(reply) } : {};
  return { host: printable(host), address, tls, ...(reused ? { reused } : {}), ...said };
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
