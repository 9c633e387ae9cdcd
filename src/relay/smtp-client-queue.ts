import type { RemoteReply } from '../mail/reply.ts';
import type { Answer, Fault } from './smtp-client-answer.ts';

/** A command, from being asked for to its answer. */
export interface Asked {
  /** Its verb, for replies and faults. */
  readonly command: string;
  /** With its CRLF. */
  readonly line: string;
  /** The positive replies it may have: any 2xx, or exactly 354. */
  readonly expects: 2 | 354;
  /** Monotonic time by which it has to be answered. */
  readonly dueMs: number;
  readonly settle: (answer: Answer) => void;
}

/** Commands in order: those still to be written, then those on the wire (RFC 2920). */
export class CommandQueue {
  #outbox: Asked[] = [];
  #onWire: Asked[] = [];

  /** Commands whose answer is to come. */
  get onWire(): number {
    return this.#onWire.length;
  }

  /** The oldest of them. */
  get command(): string | undefined {
    return this.#onWire[0]?.command;
  }

  /** When the first deadline of them is, as monotonic time. */
  get dueMs(): number {
    let dueMs = Number.POSITIVE_INFINITY;
    for (const asked of this.#onWire) dueMs = Math.min(dueMs, asked.dueMs);
    return dueMs;
  }

  /** @returns true if nothing else waits to be written, so that the caller has to see to it */
  add(asked: Asked): boolean {
    return this.#outbox.push(asked) === 1;
  }

  /**
   * @param pipelining whether commands may follow one another without waiting
   * @returns what is to be written now, in one write; empty when nothing is
   */
  take(pipelining: boolean): string {
    if (!pipelining && this.#onWire.length > 0) return '';
    const batch = this.#outbox.splice(0, pipelining ? this.#outbox.length : 1);
    let lines = '';
    for (const asked of batch) {
      lines += asked.line;
      this.#onWire.push(asked);
    }
    return lines;
  }

  /**
   * Gives the oldest command on the wire its answer.
   *
   * @returns the fault if the reply is of a class that the command does not have; it is not
   *   answered then
   */
  answer(reply: RemoteReply): Fault | undefined {
    const asked = this.#onWire[0];
    const { code } = reply;
    const fits = code >= 400 || (asked?.expects === 354 ? code === 354 : code < 300);
    if (asked === undefined || !fits) {
      return { kind: 'out-of-step', detail: `it answered ${reply.command} with ${code}` };
    }
    this.#onWire.shift();
    asked.settle({ kind: 'reply', reply });
    return undefined;
  }

  /** Answers all with the fault. */
  fail(fault: Fault): void {
    const all = [...this.#onWire, ...this.#outbox];
    this.#onWire = [];
    this.#outbox = [];
    for (const asked of all) asked.settle(fault);
  }
}
