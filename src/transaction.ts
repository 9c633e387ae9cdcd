import type { Clock } from './base/clock.ts';
import type { Log } from './base/log.ts';
import type { Client } from './mail/client.ts';
import type { Mailbox, MailParameters } from './mail/envelope.ts';
import type { OutcomeKind } from './mail/outcome.ts';
import { isPositive, localReply, type Reply } from './mail/reply.ts';
import type { AbortReason, ContentFacts, Transaction } from './mail/transaction.ts';
import type { MessageIntake } from './message-intake.ts';
import type { MessageSeal, Sealed } from './message-seal.ts';
import { mailRules, rcptRules } from './policy/envelope-rules.ts';
import { judge } from './policy/rule.ts';
import type { Destination } from './relay/destination.ts';
import type { DotResult, Leg as RelayLeg } from './relay/leg.ts';
import { outcomeOf, replyText, TransactionJournal } from './transaction-journal.ts';

/*
 * The message's way, in its order:
 *
 *   open ──mail──► envelope ──rcpt…──► envelope ──data──► content ──end──► sending ──► ended
 *
 * - `open`: nothing is known but the client.
 * - `envelope`: MAIL was accepted here. The first RCPT opens the leg to its destination; every RCPT
 *   is answered by the MX. One destination for each transaction: a recipient of another one hears
 *   452 4.5.3, unless all recipients so far were refused.
 * - `content`: the MX stands in DATA. The message is hashed while it goes into the spool.
 * - `sending`: verdict and signatures are made, then header and body go to the leg. From the leg's
 *   final dot on the MX's answer is awaited, whatever the client does.
 * - `ended`: logged, all given back.
 *
 * `abort` ends any state but `sending`, where it only stops what has not gone out yet.
 */
type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'envelope'; readonly mail: MailParameters; leg: OpenLeg | undefined }
  | {
      readonly kind: 'content';
      readonly leg: Leg;
      readonly intake: MessageIntake;
      readonly mail: MailParameters;
    }
  | { readonly kind: 'sending'; readonly leg: Leg; readonly intake: MessageIntake }
  | { readonly kind: 'ended' };

/** What a transaction asks of a leg. */
export type Leg = Pick<
  RelayLeg,
  'rcpt' | 'data' | 'send' | 'abort' | 'finish' | 'facts' | 'onLateReply'
>;

/** A leg and how many of its recipients are pending or accepted. */
interface OpenLeg {
  readonly destination: Destination;
  readonly leg: Leg;
  live: number;
}

/** What a transaction needs of the rest of the house. */
export interface TransactionParts {
  readonly clock: Clock;
  readonly log: Log;
  /** Called once, when the transaction has its record. */
  readonly onEnded: (transaction: LiveTransaction) => void;
  /** A keyring fault that holds for every domain, if there is one now. */
  readonly keyringFault: () => string | undefined;
  readonly maxMessageBytes: number;
  readonly allowAddressLiterals: boolean;
  /** From the client's final dot to its reply, in milliseconds. */
  readonly finalDotBudgetMs: number;
  readonly destinationFor: (domain: string) => Destination;
  readonly openLeg: (destination: Destination, mail: MailParameters) => Leg;
  readonly openIntake: () => MessageIntake;
  readonly seal: Pick<MessageSeal, 'seal'>;
}

/** One MAIL..DATA of a client, relayed live to one destination. */
export class LiveTransaction implements Transaction {
  readonly id: string;
  readonly #client: Client;
  readonly #parts: TransactionParts;
  readonly #journal: TransactionJournal;
  #state: State = { kind: 'open' };
  /** The last reply that was not positive, or that ended the message. */
  #decisive: Reply | undefined;
  readonly #accepted: Mailbox[] = [];

  constructor(id: string, client: Client, parts: TransactionParts) {
    this.id = id;
    this.#client = client;
    this.#parts = parts;
    this.#journal = new TransactionJournal(id, client, parts.clock);
  }

  async mail(parameters: MailParameters): Promise<Reply> {
    const { keyringFault, maxMessageBytes } = this.#parts;
    this.#journal.mail(parameters);
    const facts = {
      client: this.#client,
      parameters,
      keyringFault: keyringFault(),
      maxMessageBytes,
    };
    const refusal = judge(mailRules, facts);
    if (refusal !== undefined) {
      if (facts.keyringFault !== undefined) this.#journal.notes.push(facts.keyringFault);
      this.#end(outcomeOf(refusal), refusal);
      return refusal;
    }
    this.#state = { kind: 'envelope', mail: parameters, leg: undefined };
    return localReply(250, '2.1.0', 'mail.ok', 'Sender ok');
  }

  async rcpt(recipient: Mailbox): Promise<Reply> {
    const state = this.#state;
    if (state.kind !== 'envelope') return outOfOrder('RCPT');
    this.#journal.asked(recipient);
    const { allowAddressLiterals } = this.#parts;
    const refusal =
      judge(rcptRules, { recipient, allowAddressLiterals }) ?? this.#chooseLeg(state, recipient);
    if (refusal !== undefined) return this.#recipientAnswered(recipient, refusal);
    const open = state.leg;
    if (open === undefined) return outOfOrder('RCPT');
    open.live += 1;
    const reply = await open.leg.rcpt(recipient);
    if (isPositive(reply)) this.#accepted.push(recipient);
    else open.live -= 1;
    return this.#recipientAnswered(recipient, reply);
  }

  async data(): Promise<Reply> {
    const state = this.#state;
    if (state.kind !== 'envelope') return outOfOrder('DATA');
    if (state.leg === undefined || this.#accepted.length === 0) {
      return localReply(554, '5.5.1', 'data.no-recipients', 'No valid recipients');
    }
    this.#journal.phase('envelope');
    const { leg } = state.leg;
    const reply = await leg.data();
    if (this.#state !== state) return outOfOrder('DATA');
    if (reply.code !== 354) {
      this.#journal.content(outcomeOf(reply), reply);
      this.#end(outcomeOf(reply), reply, leg);
      return reply;
    }
    this.#journal.phase('data');
    this.#state = { kind: 'content', leg, mail: state.mail, intake: this.#parts.openIntake() };
    return localReply(354, undefined, 'data.go-ahead', 'End data with <CR><LF>.<CR><LF>');
  }

  content(piece: Buffer, sole = false): void | Promise<void> {
    if (this.#state.kind === 'content') return this.#state.intake.add(piece, sole);
  }

  async end(facts: ContentFacts): Promise<Reply> {
    const state = this.#state;
    if (state.kind !== 'content') return outOfOrder('The final dot');
    const { leg, intake } = state;
    const { clock, finalDotBudgetMs } = this.#parts;
    // Everything from the client's dot to its reply is on this budget: its own clock runs too.
    const dueMs = clock.monotonicMs() + finalDotBudgetMs;
    this.#state = { kind: 'sending', leg, intake };
    this.#journal.phase('content');
    this.#journal.sizeBytes = facts.bytes;
    let sending = false;
    try {
      const sealed = await this.#seal(state, facts, dueMs);
      this.#journal.phase('sign');
      if (sealed.kind === 'refused') {
        leg.abort();
        intake.release(true);
        return this.#contentAnswered(leg, outcomeOf(sealed.reply), sealed.reply);
      }
      sending = true;
      const result = await leg.send(intake.source(sealed.prefix), dueMs);
      this.#journal.phase('send');
      if (result.kind === 'answered') intake.release(result.settled);
      return this.#contentAnswered(leg, outcomeOfDot(result), result.reply);
    } catch (error) {
      this.#parts.log.fault('transaction', error);
      leg.abort();
      const text = 'A fault in the relay, try again later';
      const reply = localReply(451, '4.3.0', 'transaction.fault', text);
      return this.#contentAnswered(leg, sending ? 'in-doubt' : 'deferred', reply);
    }
  }

  abort(reason: AbortReason): void {
    const state = this.#state;
    switch (state.kind) {
      case 'ended':
        return;
      case 'sending':
        // Stops what has not gone out; a final dot that has is still answered to `end`.
        this.#journal.notes.push(`client: ${reason}`);
        state.leg.abort();
        return;
      case 'open':
        this.#state = { kind: 'ended' };
        this.#parts.onEnded(this);
        return;
      case 'envelope':
        state.leg?.leg.abort();
        this.#endByClient(reason, state.leg?.leg);
        return;
      case 'content':
        state.leg.abort();
        state.intake.release(true);
        this.#endByClient(reason, state.leg);
    }
  }

  async #seal(
    state: State & { kind: 'content' },
    facts: ContentFacts,
    dueMs: number,
  ): Promise<Sealed> {
    return this.#parts.seal.seal({
      id: this.id,
      client: this.#client,
      mail: state.mail,
      recipients: this.#accepted,
      facts,
      intake: await state.intake.finish(),
      journal: this.#journal,
      dueMs,
    });
  }

  /**
   * Time is up for the whole process: gives the transaction up, with its record. Behind the final
   * dot nobody knows whether the MX took the message.
   */
  abandon(): void {
    const state = this.#state;
    const text = 'The relay is shutting down, try again later';
    const reply = localReply(451, '4.3.2', 'session.shutdown', text);
    if (state.kind === 'sending') {
      this.#journal.content('in-doubt', reply);
      this.#end('in-doubt', reply, state.leg);
    } else if (state.kind !== 'ended') {
      this.abort('shutdown');
    }
  }

  /** Sees to it that the state has the leg for the recipient's destination. */
  #chooseLeg(state: State & { kind: 'envelope' }, recipient: Mailbox): Reply | undefined {
    const destination = this.#parts.destinationFor(recipient.domain);
    if (state.leg !== undefined && state.leg.destination.key !== destination.key) {
      if (state.leg.live > 0) {
        return localReply(
          452,
          '4.5.3',
          'rcpt.one-destination',
          `One destination for each transaction: send <${recipient.address}> in its own`,
        );
      }
      state.leg.leg.abort();
      state.leg = undefined;
    }
    state.leg ??= { destination, leg: this.#parts.openLeg(destination, state.mail), live: 0 };
    return undefined;
  }

  #recipientAnswered(recipient: Mailbox, reply: Reply): Reply {
    this.#journal.recipient(recipient, reply);
    if (!isPositive(reply)) this.#decisive = reply;
    return reply;
  }

  #contentAnswered(leg: Leg, outcome: OutcomeKind, reply: Reply): Reply {
    this.#journal.content(outcome, reply);
    this.#end(outcome, reply, leg);
    return reply;
  }

  #endByClient(reason: AbortReason, leg: Leg | undefined): void {
    const given =
      reason === 'too-large'
        ? localReply(552, '5.3.4', 'content.size', 'The message is over limits.messageBytes')
        : localReply(451, '4.4.2', 'client.gone', `The client ended it: ${reason}`);
    // A refused envelope is what the client goes by; an accepted one was given up.
    const reply = this.#accepted.length === 0 ? (this.#decisive ?? given) : given;
    this.#journal.content(outcomeOf(given), given);
    this.#end(outcomeOf(reply), reply, leg, reason);
  }

  #end(outcome: OutcomeKind, reply: Reply, leg?: Leg, ended?: AbortReason): void {
    const state = this.#state;
    if (state.kind === 'ended') return;
    if (state.kind === 'sending') state.intake.release();
    this.#state = { kind: 'ended' };
    void leg?.finish();
    const { log } = this.#parts;
    log.transaction(this.#journal.record(outcome, reply, leg?.facts, ended));
    this.#parts.onEnded(this);
    leg?.onLateReply((late, afterMs) =>
      log.lateReply({ id: this.id, host: late.host, reply: replyText(late), afterMs }),
    );
  }
}

function outcomeOfDot(result: DotResult): OutcomeKind {
  if (result.kind === 'in-doubt') return 'in-doubt';
  return isPositive(result.reply) ? 'accepted' : outcomeOf(result.reply);
}

function outOfOrder(command: string): Reply {
  return localReply(503, '5.5.1', 'session.sequence', `${command} is out of order`);
}
