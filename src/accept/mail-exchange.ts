import { parseMailCommand, parseRcptCommand } from '../mail/address-command.ts';
import type { Client } from '../mail/client.ts';
import { isPositive, type LocalReply, localReply, type Reply } from '../mail/reply.ts';
import type {
  AbortReason,
  ContentFacts,
  SessionTransactions,
  Transaction,
} from '../mail/transaction.ts';
import type { ContentStep } from './command-reader.ts';
import { ContentDecoder } from './content-decoder.ts';

/*
 * The mail commands of one session, as states:
 *
 *   none ──MAIL──► envelope ──DATA, 354──► content ──CRLF.CRLF──► sending ──reply──► none
 *
 * - `envelope`: a transaction was begun; RCPTs run side by side.
 * - `content`: the client sends the message. Once it is too large (or the transaction failed) the
 *   transaction is given up at once and the rest of the content is read and dropped.
 * - `sending`: the client has done its part and waits for the reply to its dot.
 *
 * `abort` leads back to `none` from anywhere.
 */
type State =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'envelope';
      readonly transaction: Transaction;
      readonly smtpUtf8: boolean;
      handed: number;
      accepted: number;
    }
  | {
      readonly kind: 'content';
      readonly transaction: Transaction;
      readonly decoder: ContentDecoder;
      refusal: LocalReply | undefined;
    }
  | { readonly kind: 'sending'; readonly transaction: Transaction };

/** What the exchange needs of its session. */
export interface MailExchangeOptions {
  readonly transactions: SessionTransactions;
  readonly maxMessageBytes: number;
  readonly maxRecipients: number;
  /** The client as it is known at MAIL. */
  readonly client: () => Client;
  /** A reason to take no mail now, asked at MAIL. */
  readonly refusal: () => LocalReply | undefined;
  readonly fault: (where: string, error: unknown) => void;
}

/** Drives transactions for the mail commands of a session; returns replies and writes nothing. */
export class MailExchange {
  readonly #options: MailExchangeOptions;
  #state: State = { kind: 'none' };

  constructor(options: MailExchangeOptions) {
    this.#options = options;
  }

  /** Id of the transaction under way. */
  get id(): string | undefined {
    return this.#state.kind === 'none' ? undefined : this.#state.transaction.id;
  }

  /** True from DATA's 354 to the end of content. */
  get receiving(): boolean {
    return this.#state.kind === 'content';
  }

  /** @param argument of MAIL, as octets */
  mail(argument: Buffer): Reply | Promise<Reply> {
    if (this.#state.kind !== 'none') return outOfSequence('MAIL was given already');
    const parameters = parseMailCommand(argument);
    if ('origin' in parameters) return parameters;
    const refusal = this.#options.refusal();
    if (refusal !== undefined) return refusal;
    const transaction = this.#options.transactions.begin(this.#options.client());
    const { smtpUtf8 } = parameters;
    const state: State = { kind: 'envelope', transaction, smtpUtf8, handed: 0, accepted: 0 };
    this.#state = state;
    return this.#guarded('mail', state, async () => {
      const reply = await transaction.mail(parameters);
      if (!isPositive(reply) && this.#state === state) this.#state = { kind: 'none' };
      return reply;
    });
  }

  /**
   * Several may run at a time.
   *
   * @param argument of RCPT, as octets
   */
  rcpt(argument: Buffer): Reply | Promise<Reply> {
    const state = this.#state;
    if (state.kind !== 'envelope') return outOfSequence('RCPT needs MAIL first');
    const recipient = parseRcptCommand(argument, state.smtpUtf8);
    if ('origin' in recipient) return recipient;
    if (state.handed >= this.#options.maxRecipients) {
      return localReply(
        452,
        '4.5.3',
        'rcpt.limit',
        `More than ${this.#options.maxRecipients} recipients: send the rest in a new transaction`,
      );
    }
    state.handed += 1;
    return this.#guarded('rcpt', state, async () => {
      const reply = await state.transaction.rcpt(recipient);
      if (isPositive(reply)) state.accepted += 1;
      return reply;
    });
  }

  data(): Reply | Promise<Reply> {
    const state = this.#state;
    if (state.kind !== 'envelope' || state.handed === 0) {
      return outOfSequence('DATA needs MAIL and RCPT first');
    }
    if (state.accepted === 0) {
      return localReply(554, '5.5.1', 'data.no-recipients', 'No recipient was accepted');
    }
    return this.#guarded('data', state, async () => {
      const { transaction } = state;
      const reply = await transaction.data();
      if (this.#state !== state) return reply;
      if (reply.code === 354) {
        const decoder = new ContentDecoder();
        this.#state = { kind: 'content', transaction, decoder, refusal: undefined };
      } else {
        this.abort('reset');
      }
      return reply;
    });
  }

  /** Takes a chunk of content; the caller must not use it afterwards. `wait` never rejects. */
  content(chunk: Buffer): ContentStep {
    const state = this.#state;
    if (state.kind !== 'content') return { rest: undefined, wait: undefined };
    const { pieces, rest, sole } = state.decoder.push(chunk);
    if (state.refusal === undefined && state.decoder.bytes > this.#options.maxMessageBytes) {
      const limit = this.#options.maxMessageBytes;
      const text = `The message is over the limit of ${limit} octets`;
      this.#giveUp(state, localReply(552, '5.3.4', 'content.size', text), 'too-large');
    }
    return { rest, wait: this.#hand(state, pieces, sole, 0) };
  }

  /** The end of content was seen. */
  async finish(): Promise<Reply> {
    const state = this.#state;
    if (state.kind !== 'content') return outOfSequence('There is no message');
    if (state.refusal !== undefined) {
      this.#state = { kind: 'none' };
      return state.refusal;
    }
    const facts: ContentFacts = state.decoder.facts;
    const sending: State = { kind: 'sending', transaction: state.transaction };
    this.#state = sending;
    const reply = await this.#guarded('end', sending, () => state.transaction.end(facts));
    if (this.#state === sending) this.#state = { kind: 'none' };
    return reply;
  }

  /** Gives up the transaction, if there is one. */
  abort(reason: AbortReason): void {
    const state = this.#state;
    this.#state = { kind: 'none' };
    if (state.kind === 'none') return;
    if (state.kind !== 'content' || state.refusal === undefined) state.transaction.abort(reason);
  }

  /** The session is over; behind an `abort`, or with a transaction that still waits for an MX. */
  close(): void {
    this.#options.transactions.close();
  }

  /** Hands pieces on, one after the other; the promise is undefined where none had to wait. */
  #hand(
    state: State & { kind: 'content' },
    pieces: readonly Buffer[],
    sole: boolean,
    from: number,
  ): Promise<void> | undefined {
    for (let index = from; index < pieces.length; index += 1) {
      const piece = pieces[index];
      if (piece === undefined || state.refusal !== undefined || this.#state !== state) break;
      try {
        const wait = state.transaction.content(piece, sole);
        if (wait instanceof Promise) {
          return wait.then(
            () => this.#hand(state, pieces, sole, index + 1),
            (error: unknown) => this.#contentFault(state, error),
          );
        }
      } catch (error) {
        this.#contentFault(state, error);
      }
    }
    return undefined;
  }

  #contentFault(state: State & { kind: 'content' }, error: unknown): void {
    if (this.#state !== state) return;
    this.#options.fault('content', error);
    this.#giveUp(state, internalError(), 'reset');
  }

  #giveUp(state: State & { kind: 'content' }, refusal: LocalReply, reason: AbortReason): void {
    state.refusal = refusal;
    state.transaction.abort(reason);
  }

  /** A transaction never throws for a refusal; if it throws all the same, that is 451. */
  async #guarded(where: string, state: State, step: () => Promise<Reply>): Promise<Reply> {
    try {
      return await step();
    } catch (error) {
      if (this.#state === state) {
        this.#options.fault(where, error);
        this.abort('reset');
      }
      return internalError();
    }
  }
}

function outOfSequence(text: string): LocalReply {
  return localReply(503, '5.5.1', 'command.sequence', text);
}

function internalError(): LocalReply {
  return localReply(451, '4.3.0', 'session.fault', 'Internal error, try again later');
}
