import type { RemoteReply } from '../mail/reply.ts';
import type { ContentResult, Fault } from './smtp-client-answer.ts';
import type { ContentWriter } from './smtp-client-content.ts';

/** When `content` has to have an answer, and who hears of one that comes behind that. */
export interface ContentTimes {
  /** Monotonic time. */
  readonly dueMs: number;
  /** How long the server is still listened to behind `dueMs`. */
  readonly lateMs: number;
  readonly onLate: (reply: RemoteReply) => void;
}

/** A message on its way: from its first octet to the answer to its dot. Settled once. */
export class Sending {
  readonly writer: ContentWriter;
  readonly times: ContentTimes;
  readonly #settle: (result: ContentResult) => void;
  /** A 2xx that waits for the word that the dot is out. */
  #held: RemoteReply | undefined;

  constructor(writer: ContentWriter, times: ContentTimes, settle: (result: ContentResult) => void) {
    this.writer = writer;
    this.times = times;
    this.#settle = settle;
  }

  /** Keeps a 2xx until it is known whether the dot has left; the first one counts. */
  hold(reply: RemoteReply): void {
    this.#held ??= reply;
  }

  /** The 2xx that was kept, if the dot has left. */
  get heldReply(): RemoteReply | undefined {
    return this.writer.flushed ? this.#held : undefined;
  }

  /** What the server owes, for people. */
  get awaited(): string {
    return this.writer.ended ? 'the final dot' : 'the content';
  }

  /** Writes no more, and gives the result. */
  end(result: ContentResult): void {
    this.writer.stop();
    this.#settle(result);
  }

  /** The connection is gone: how far the message came decides what that means. */
  fail(fault: Fault): void {
    const { heldReply } = this;
    if (heldReply !== undefined) this.end({ kind: 'reply', reply: heldReply });
    else if (this.writer.mayHaveEnded) this.end({ kind: 'unknown', fault });
    else this.end({ kind: 'not-sent', fault, begun: true });
  }

  /**
   * The time is up and the dot has left: the outcome is unknown, and what the server still says is
   * for the log only.
   *
   * @param nowMs monotonic time
   * @param over called when an answer came
   * @returns what is listened with, for `lateMs` at most
   */
  listenOn(nowMs: number, fault: Fault, over: () => void): Sending {
    const { lateMs, onLate } = this.times;
    const listening = new Sending(
      this.writer,
      { dueMs: nowMs + lateMs, lateMs: 0, onLate },
      (result) => {
        if (result.kind === 'reply') onLate(result.reply);
        over();
      },
    );
    this.#settle({ kind: 'unknown', fault });
    return listening;
  }
}
