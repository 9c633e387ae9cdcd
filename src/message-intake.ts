import { errorMessage } from './base/errors.ts';
import { HeaderCollector, type HeaderLimits } from './mail/header-collector.ts';
import type { MessageHeader } from './mail/header-fields.ts';
import { type LocalReply, localReply } from './mail/reply.ts';
import {
  type BodyCanonicalization,
  type BodyHasher,
  createBodyHasher,
} from './sign/body-hasher.ts';
import type { SpooledMessage } from './spool/spooled-message.ts';

/** A message that is whole, or the reason why it cannot be taken. */
export type Intake =
  | { readonly kind: 'message'; readonly header: MessageHeader; readonly bodyHash: Buffer }
  | { readonly kind: 'failed'; readonly reply: LocalReply; readonly fault: string | undefined };

/** Octets to be sent: what Waxseal adds on top, then the message as it lies in the spool. */
export interface MessageSource {
  readonly prefix: Buffer;
  buffers(): readonly Buffer[] | undefined;
  chunks(): AsyncIterable<Buffer>;
}

/*
 * States: `header` until the collector is done, then `body`; `failed` once the message cannot be
 * taken any more: the client is heard out (it would not listen before its final dot) and what it
 * says is dropped.
 */
type State =
  | { readonly kind: 'header'; readonly collector: HeaderCollector }
  | { readonly kind: 'body'; readonly header: MessageHeader }
  | { readonly kind: 'failed'; readonly reply: LocalReply; readonly fault: string | undefined };

/** Pieces below this are gathered. */
const SMALL_BYTES = 1024;
const GATHER_BYTES = 8 * 1024;

/** Takes a message in while it arrives: header collected, body hashed, all of it spooled. */
export class MessageIntake {
  readonly #spooled: SpooledMessage;
  readonly #hasher: BodyHasher;
  #state: State;
  /** Small pieces, copied together, and how many octets they have. */
  #gatherer: Buffer | undefined;
  #gathered = 0;

  constructor(
    spooled: SpooledMessage,
    limits: HeaderLimits,
    canonicalization: BodyCanonicalization,
  ) {
    this.#spooled = spooled;
    this.#hasher = createBodyHasher(canonicalization);
    this.#state = { kind: 'header', collector: new HeaderCollector(limits) };
  }

  /**
   * Takes the next piece of normalised content.
   *
   * @param sole nobody else looks at the memory behind the piece; it may be freed
   * @returns a promise when the sender has to wait; it never rejects
   */
  add(piece: Buffer, sole = false): void | Promise<void> {
    if (piece.length >= SMALL_BYTES && this.#gathered === 0) return this.#take(piece, sole);
    return this.#gather(piece);
  }

  /** The content is over. */
  async finish(): Promise<Intake> {
    if (this.#gathered > 0) await this.#takeGathered();
    if (this.#state.kind === 'header') await this.#advance(this.#state.collector.end());
    if (this.#state.kind === 'body') await this.#spooled.finish().catch(this.#failSpool);
    const state = this.#state;
    if (state.kind === 'body') {
      return { kind: 'message', header: state.header, bodyHash: this.#hasher.digest() };
    }
    if (state.kind === 'failed') return state;
    throw new Error('the header collector did not end');
  }

  /** The message as a leg sends it; after `finish`. */
  source(prefix: Buffer): MessageSource {
    return {
      prefix,
      buffers: () => this.#spooled.buffers(),
      chunks: () => this.#spooled.chunks(),
    };
  }

  /**
   * Gives the spool back.
   *
   * @param settled nobody looks at what `source` gave any more
   */
  release(settled = false): void {
    this.#spooled.release(settled);
  }

  /**
   * Small pieces are copied together: a client that trickles octets would otherwise have each of
   * them kept in a buffer of its own, at several hundred times its size.
   */
  #gather(piece: Buffer): void | Promise<void> {
    if (this.#gathered + piece.length > GATHER_BYTES) {
      const waiting = this.#takeGathered();
      // The order of the octets is that of the calls, so what follows need not wait here.
      const next = piece.length >= SMALL_BYTES ? this.#take(piece) : this.#gather(piece);
      return next ?? waiting;
    }
    this.#gatherer ??= Buffer.allocUnsafeSlow(GATHER_BYTES);
    piece.copy(this.#gatherer, this.#gathered);
    this.#gathered += piece.length;
  }

  #takeGathered(): void | Promise<void> {
    const piece = this.#gatherer?.subarray(0, this.#gathered);
    this.#gatherer = undefined;
    this.#gathered = 0;
    if (piece !== undefined) return this.#take(piece);
  }

  #take(piece: Buffer, sole = false): void | Promise<void> {
    const state = this.#state;
    if (state.kind === 'body') {
      this.#hasher.update(piece);
      return this.#spool(piece, sole);
    }
    if (state.kind === 'header') return this.#advance(state.collector.push(piece));
  }

  #advance(progress: ReturnType<HeaderCollector['push']>): void | Promise<void> {
    if (progress.kind === 'more') return;
    if (progress.kind === 'refused') {
      this.#fail(progress.reply, undefined);
      return;
    }
    const { header, body } = progress;
    this.#state = { kind: 'body', header };
    const waiting = this.#spool(header.octets);
    const bodyWaiting = this.#body(body);
    return bodyWaiting ?? waiting;
  }

  #body(pieces: readonly Buffer[]): void | Promise<void> {
    // A writer that has to wait says so at each piece until it has caught up, so the last one counts.
    return pieces
      .map((piece) => {
        this.#hasher.update(piece);
        return this.#spool(piece);
      })
      .at(-1);
  }

  #spool(piece: Buffer, sole = false): void | Promise<void> {
    try {
      return this.#spooled.write(piece, sole)?.catch(this.#failSpool);
    } catch (error) {
      this.#failSpool(error);
    }
  }

  readonly #failSpool = (error: unknown): void => {
    const text = 'The message cannot be kept now, try again later';
    this.#fail(localReply(452, '4.3.1', 'spool.room', text), errorMessage(error));
  };

  #fail(reply: LocalReply, fault: string | undefined): void {
    if (this.#state.kind === 'failed') return;
    this.#state = { kind: 'failed', reply, fault };
    this.#spooled.release();
  }
}
