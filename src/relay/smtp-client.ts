import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { Clock } from '../base/clock.ts';
import { errorMessage } from '../base/errors.ts';
import type { Mailbox, MailParameters } from '../mail/envelope.ts';
import type { RemoteReply } from '../mail/reply.ts';
import { type ParsedReply, ReplyParser } from '../mail/reply-parser.ts';
import type { RelayCredentials } from './destination.ts';
import type { Answer, ContentResult, Fault, SetupResult, SetupStep } from './smtp-client-answer.ts';
import { commandLine, mailCommand, rcptCommand } from './smtp-client-commands.ts';
import { ContentWriter, type MessageSource, nextTurn } from './smtp-client-content.ts';
import { Deadline } from './smtp-client-deadline.ts';
import { judgeDotReplies, tooEarly } from './smtp-client-dot.ts';
import {
  NO_EXTENSIONS,
  readServerFacts,
  type ServerFacts,
  textForStock,
} from './smtp-client-facts.ts';
import { type SmtpClientOptions, stock, stockOptions } from './smtp-client-options.ts';
import { CommandQueue } from './smtp-client-queue.ts';
import { type ContentTimes, Sending } from './smtp-client-sending.ts';
import { type TlsFacts, tlsFacts } from './smtp-client-tls.ts';

/*
 * One connection to an MX: nodemailer's SMTPConnection for greeting, EHLO, HELO, STARTTLS and AUTH,
 * and behind that stepwise commands of our own.
 *
 *   setup ──open()──► commands ──data()──► DATA ──content()──► dot ──► commands
 *     └──────────────────┴──────────────────┴───────────────────┴────► dead (a Fault, for ever)
 *
 * - setup: nodemailer's actions decide; each step has its own deadline.
 * - commands: they wait in `#queue` until the end of the tick and go out in one write, all of them
 *   if the server has PIPELINING, else one by one; replies answer them in order.
 * - DATA: 354 was given. A refusal that comes now stands for the message (`#refusal`).
 * - dot: `#sending` is the message being written, and then the wait for its answer; one that runs
 *   out of time is still listened to for a while, for the log.
 *
 * A reply can only answer a command that was on the wire before its first octet arrived. What comes
 * earlier is unasked-for, and no 2xx of that kind is ever passed on.
 */

const GIVEN_UP: Fault = { kind: 'closed', detail: 'given up by the relay' };

/** Idle time before TCP asks whether the server is still there. */
const KEEPALIVE_MS = 30_000;

/** The stepwise client. Its methods never reject; a dead connection answers with its fault. */
export class SmtpClient extends SMTPConnection {
  readonly address: string;
  /** Monotonic time at which it was made. */
  readonly openedMs: number;
  facts: ServerFacts = NO_EXTENSIONS;
  tls: TlsFacts | undefined;
  /** Milliseconds from STARTTLS to the end of the handshake. */
  tlsMs: number | undefined;

  /** nodemailer's own: handlers of the replies that its setup waits for. */
  declare _responseActions: ((this: unknown, reply: string) => void)[];
  /** nodemailer's own: the mechanisms that `login` chooses from. */
  declare _supportedAuth: string[];
  /** nodemailer's own: what it does with the greeting, and its listeners. */
  declare _actionGreeting: (reply: string) => void;
  declare _onSocketData: (chunk: Buffer) => void;
  declare _onSocketError: (error: Error) => void;
  declare _onSocketClose: () => void;
  declare _onSocketEnd: () => void;

  readonly #options: SmtpClientOptions;
  readonly #clock: Clock;
  readonly #parser = new ReplyParser();
  #fault: Fault | undefined;
  #step: SetupStep = 'greeting';
  #stepCommand = 'greeting';
  #stepDueMs = Number.POSITIVE_INFINITY;
  #stepStartMs = 0;
  #settleSetup: ((result: SetupResult) => void) | undefined;
  #lastReply: RemoteReply | undefined;
  readonly #queue = new CommandQueue();
  readonly #deadline: Deadline;
  /** The server began a reply while nothing was on the wire. */
  #unaskedPart = false;
  #inData = false;
  #refusal: RemoteReply | undefined;
  #sending: Sending | undefined;

  constructor(options: SmtpClientOptions) {
    super(stockOptions(options));
    this.address = options.address;
    this.#options = options;
    this.#clock = options.clock;
    this.openedMs = options.clock.monotonicMs();
    this.#deadline = new Deadline(options.clock, () => this.#lookAtDeadlines());
  }

  /** Why the connection is dead; undefined while it lives. */
  get fault(): Fault | undefined {
    return this.#fault;
  }

  /** True while the final dot is written and not answered; it may wait in Node still. */
  get dotWritten(): boolean {
    return this.#sending?.writer.ended === true;
  }

  /** Greeting, EHLO or else HELO, STARTTLS and EHLO again. */
  open(): Promise<SetupResult> {
    return new Promise((resolve) => {
      this.#settleSetup = resolve;
      this.connect(() => this.#setUp());
    });
  }

  /** AUTH, under TLS only, with the first of PLAIN, LOGIN and CRAM-MD5 that is offered. */
  authenticate({ user, password }: RelayCredentials): Promise<SetupResult> {
    this.#step = 'auth';
    this.#stepCommand = 'AUTH';
    if (this.#fault !== undefined) {
      return Promise.resolve({ ok: false, step: 'auth', fault: this.#fault });
    }
    return new Promise((resolve) => {
      this.#settleSetup = resolve;
      if (!this.secure) {
        this.#fail({ kind: 'no-auth', detail: 'credentials are sent under TLS only' });
      } else if (this._supportedAuth.length === 0) {
        this.#fail({ kind: 'no-auth', detail: 'it offers no AUTH mechanism that is known here' });
      } else {
        this.login({ user, pass: password, credentials: { user, pass: password } }, (error) => {
          if (error === null) this.#setUp();
          else this._onError(error, 'EAUTH', error.response);
        });
      }
    });
  }

  /** @param extraBytes octets that we may add to the size that the client declared */
  mail(parameters: MailParameters, extraBytes: number, dueMs: number): Promise<Answer> {
    return this.#ask('MAIL', mailCommand(parameters, extraBytes, this.facts), 2, dueMs);
  }

  rcpt(mailbox: Mailbox, dueMs: number): Promise<Answer> {
    return this.#ask('RCPT', rcptCommand(mailbox), 2, dueMs);
  }

  /** The answer is 354, a refusal or a fault; 2xx to DATA is a fault. */
  data(dueMs: number): Promise<Answer> {
    return this.#ask('DATA', commandLine('DATA'), 354, dueMs);
  }

  rset(dueMs: number): Promise<Answer> {
    return this.#ask('RSET', commandLine('RSET'), 2, dueMs);
  }

  /**
   * Ends the session politely. Nothing depends on the answer to QUIT, so it is not waited for. Where
   * a command or content is under way the connection can only be dropped.
   */
  override quit(): void {
    const busy = this.#queue.onWire > 0 || this.#inData || this.#settleSetup !== undefined;
    if (this.#fault !== undefined || busy) {
      this.destroy();
      return;
    }
    this.#end(GIVEN_UP);
    this.#wire.end(commandLine('QUIT'));
    // TLS hands it to the kernel in these turns; where the window is full it stays unsaid.
    void nextTurn().then(() => this.close());
  }

  /** Drops the connection as it stands; content on its way is not completed. */
  destroy(): void {
    this.#fail(GIVEN_UP);
  }

  /** Drops the connection, unless the final dot has left: then its answer is waited for. */
  async destroyUnlessSent(): Promise<void> {
    const sending = this.#sending;
    if (sending?.writer.ended !== true) return this.destroy();
    // A TLS socket tells a turn later that the kernel took the last octet.
    await nextTurn();
    if (this.#sending === sending && !sending.writer.flushed) this.destroy();
  }

  /** Sends the content and the final dot, and waits for the answer. */
  async content(source: MessageSource, times: ContentTimes): Promise<ContentResult> {
    // What has arrived is read first: an answer in it is not one to our dot.
    await nextTurn();
    if (times.dueMs <= this.#clock.monotonicMs()) {
      this.#fail({ kind: 'timeout', detail: 'no time was left to send the message' });
    }
    if (this.#refusal !== undefined) return { kind: 'reply', reply: this.#refusal };
    if (this.#fault !== undefined) {
      return { kind: 'not-sent', fault: this.#fault, begun: false };
    }
    return new Promise((settle) => {
      const writer = new ContentWriter(this.#wire);
      this.#sending = new Sending(writer, times, settle);
      this.#deadline.watch(times.dueMs);
      writer.write(source).catch((error: unknown) => {
        this.#fail({ kind: 'source', detail: errorMessage(error) });
      });
    });
  }

  // ---- what nodemailer calls ----

  /** Stock: a timer of its own, and an error made for it, with its stack, for every connection. */
  _setupConnectionHandlers(): void {
    this.#wire.on('error', this._onSocketError);
  }

  /** Stock: likewise; here each wait has one absolute deadline on the clock. */
  _startPhase(): void {}

  /** Stock: an inactivity time-out, which a server that trickles never meets; and as above. */
  _onConnect(): void {
    if (this.#fault !== undefined) return;
    const socket = this.#wire;
    this.stage = 'connected';
    socket.on('data', this._onSocketData);
    socket.once('close', this._onSocketClose);
    socket.once('end', this._onSocketEnd);
    // The answer to the dot may take minutes; a NAT on the way must not forget us meanwhile.
    socket.setKeepAlive(true, KEEPALIVE_MS);
    this._responseActions.push(this._actionGreeting);
    this.#beginStep('greeting', 'greeting');
    socket.resume();
  }

  _sendCommand(command: string): void {
    if (this.#fault !== undefined) return;
    const verb = command.split(' ', 1)[0] ?? '';
    if (this.#step === 'auth') this.#beginStep('auth', 'AUTH');
    else this.#beginStep(verb === 'STARTTLS' ? 'tls' : 'ehlo', verb);
    this.#wire.write(`${command}\r\n`);
  }

  /** Stock: finds a keyword anywhere in the reply, in the server's own name too. */
  _parseEhloExtensions(): void {
    this.facts = readServerFacts(this.#lastReply?.lines ?? []);
    this._supportedAuth = ['PLAIN', 'LOGIN', 'CRAM-MD5'].filter((mechanism) =>
      this.facts.auth.includes(mechanism),
    );
  }

  /** Stock: takes any 2xx for leave to start the handshake. */
  _actionSTARTTLS(text: string): void {
    const code = this.#lastReply?.code ?? 0;
    if (code < 300 && code !== 220) {
      this.#fail({ kind: 'injected', detail: `it answered STARTTLS with ${code}` });
    } else {
      stock._actionSTARTTLS.call(this, text);
    }
  }

  _upgradeConnection(callback: (error: Error | null, secured?: boolean) => void): void {
    stock._upgradeConnection.call(this, (error, secured) => {
      const socket = this.#wire;
      if (error === null && socket instanceof TLSSocket) {
        socket.setTimeout(0);
        this.tlsMs = this.#clock.monotonicMs() - this.#stepStartMs;
        this.tls = tlsFacts(socket);
      }
      callback(error, secured);
    });
  }

  /** Stock: keeps a connection half open until all that it wanted to write was taken. */
  _onEnd(): void {
    this.#lost('the server closed the connection');
  }

  /** Stock: takes a part of a reply for a reply. */
  _onClose(): void {
    this.#lost('the connection was closed');
  }

  _onError(error: unknown, _type?: string, response?: string | false): void {
    if (typeof response === 'string' && this.#lastReply !== undefined) {
      this.#fail({ kind: 'refused', reply: this.#lastReply });
    } else {
      this.#lost(errorMessage(error));
    }
  }

  /**
   * Stock: a megabyte for one reply, lines with differing codes, anything for a code, replies
   * before their commands; and a turn of the event loop for each reply.
   */
  _onData(chunk: Buffer): void {
    if (this.#fault !== undefined) return;
    const onWire = this.#queue.onWire + this._responseActions.length;
    const found = this.#parser.push(chunk);
    const unasked = this.#unaskedPart;
    if (found.length > 0) this.#unaskedPart = false;
    if (this.#sending?.writer.ended === true) {
      this.#answerDot(this.#sending, found, unasked);
      return;
    }
    if (this.#step === 'tls' && this._responseActions.length > 0 && found.length > 0) {
      if (found.length > 1 || this.#parser.pending) {
        this.#fail({ kind: 'injected', detail: 'octets stand behind its answer to STARTTLS' });
        return;
      }
    }
    this.#dispatch(found, unasked ? 0 : onWire);
    if (this.#parser.pending && found.length >= onWire) this.#unaskedPart = true;
  }

  // ---- replies ----

  /** @param answerable how many of them can be answers to what was on the wire */
  #dispatch(found: readonly ParsedReply[], answerable: number): void {
    if (found.length > answerable + 1) {
      // It cannot be told which of them answers what: none of them counts.
      this.#fail({ kind: 'out-of-step', detail: 'it gave more replies than there were commands' });
      return;
    }
    const extra = found[answerable];
    if (extra?.kind === 'reply' && extra.code < 400) {
      this.#fail({ kind: 'out-of-step', detail: `it said ${extra.code} without being asked` });
      return;
    }
    for (const [index, item] of found.entries()) {
      if (item.kind === 'malformed') this.#fail({ kind: 'malformed', detail: item.what });
      else if (index < answerable) this.#answer(item);
      else this.#unasked(item);
      if (this.#fault !== undefined) return;
    }
    this.#flush();
  }

  #answer(item: ParsedReply & { kind: 'reply' }): void {
    const { command } = this.#queue;
    if (command === undefined) {
      const reply = this.#remote(item, this.#stepCommand);
      this._responseActions.shift()?.call(this, textForStock(reply));
      return;
    }
    const fault = this.#queue.answer(this.#remote(item, command));
    if (fault !== undefined) this.#fail(fault);
    else if (item.code === 354) this.#inData = true;
    else if (item.code === 421) this.#lost(`it said 421 to ${command}`);
  }

  /** A refusal that no command asked for; `#dispatch` lets nothing else come here. */
  #unasked(item: ParsedReply & { kind: 'reply' }): void {
    const reply = this.#remote(item, this.#inData ? 'DATA' : '');
    const sending = this.#sending;
    if (sending !== undefined) {
      this.#endSending(sending, { kind: 'reply', reply });
      this.#lost(`it said ${item.code} before the content was complete`);
    } else if (item.code === 421) {
      this.#lost(`it said 421 ${item.lines[0] ?? ''}`);
    } else if (this.#inData) {
      this.#refusal ??= reply;
    } else {
      this.#fail({ kind: 'out-of-step', detail: `it said ${item.code} without being asked` });
    }
  }

  #answerDot(sending: Sending, found: readonly ParsedReply[], unasked: boolean): void {
    const judged = judgeDotReplies(found, unasked, sending.writer);
    switch (judged.kind) {
      case 'wait':
        return;
      case 'fault':
        this.#fail(judged.fault);
        return;
      case 'reply':
        this.#endSending(sending, { kind: 'reply', reply: this.#remote(judged.item, '.') });
        if (judged.last) this.#lost('the server ended the session');
        return;
      case 'held':
        // TLS: the word that the dot has left comes a turn later than with TCP.
        sending.hold(this.#remote(judged.item, '.'));
        void nextTurn().then(() => this.#judgeHeld(sending));
    }
  }

  #judgeHeld(sending: Sending): void {
    if (this.#sending !== sending) return;
    const reply = sending.heldReply;
    if (reply !== undefined) this.#endSending(sending, { kind: 'reply', reply });
    else this.#fail(tooEarly);
  }

  #endSending(sending: Sending, result: ContentResult): void {
    this.#sending = undefined;
    this.#inData = false;
    sending.end(result);
  }

  #remote(item: ParsedReply & { kind: 'reply' }, command: string): RemoteReply {
    const { host, address } = this;
    const reply = { origin: 'remote', code: item.code, lines: item.lines, host, address, command };
    this.#lastReply = reply as RemoteReply;
    return this.#lastReply;
  }

  // ---- commands ----

  #ask(command: string, line: string, expects: 2 | 354, dueMs: number): Promise<Answer> {
    if (this.#fault !== undefined) return Promise.resolve(this.#fault);
    return new Promise((settle) => {
      const first = this.#queue.add({ command, line, expects, dueMs, settle });
      // Behind the promise jobs of this tick, so that what they ask for travels along.
      if (first) queueMicrotask(() => process.nextTick(() => this.#flush()));
    });
  }

  #flush(): void {
    if (this.#fault !== undefined) return;
    const lines = this.#queue.take(this.facts.pipelining);
    if (lines === '') return;
    this.#wire.write(lines);
    this.#deadline.watch(this.#queue.dueMs);
  }

  get #wire(): Socket {
    const socket = this._socket;
    if (!socket) throw new Error('the client was not opened');
    return socket;
  }

  // ---- time and the end ----

  #beginStep(step: SetupStep, command: string): void {
    const nowMs = this.#clock.monotonicMs();
    this.#step = step;
    this.#stepCommand = command;
    this.#stepStartMs = nowMs;
    this.#stepDueMs = Math.min(nowMs + this.#options.stepTimeoutMs, this.#options.setupDueMs);
    this.#deadline.watch(this.#stepDueMs);
  }

  #setUp(): void {
    this.#stepDueMs = Number.POSITIVE_INFINITY;
    const settle = this.#settleSetup;
    this.#settleSetup = undefined;
    settle?.({ ok: true });
  }

  #lookAtDeadlines(): void {
    if (this.#fault !== undefined) return;
    const sending = this.#sending;
    const sendingDueMs = sending?.times.dueMs ?? Number.POSITIVE_INFINITY;
    const dueMs = Math.min(this.#stepDueMs, this.#queue.dueMs, sendingDueMs);
    if (dueMs === Number.POSITIVE_INFINITY) return;
    if (dueMs > this.#clock.monotonicMs()) {
      this.#deadline.watch(dueMs);
    } else if (sending !== undefined && this.dotWritten) {
      // Whether a TLS socket has handed it to the kernel is known a turn later.
      void nextTurn().then(() => this.#dotOverdue(sending));
    } else {
      this.#fail(this.#overdue());
    }
  }

  #dotOverdue(sending: Sending): void {
    if (this.#sending !== sending) return;
    if (sending.times.lateMs <= 0 || !sending.writer.flushed) {
      this.#fail(this.#overdue());
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    this.#sending = sending.listenOn(nowMs, this.#overdue(), () => this.destroy());
    this.#deadline.watch(this.#sending.times.dueMs);
  }

  #overdue(): Fault {
    const awaited = this.#sending?.awaited ?? this.#queue.command ?? this.#stepCommand;
    return { kind: 'timeout', detail: `no answer to ${awaited} in time` };
  }

  #lost(detail: string): void {
    this.#fail({ kind: this.upgrading === true ? 'tls' : 'closed', detail });
  }

  #fail(fault: Fault): void {
    if (this.#fault !== undefined) return;
    this.#end(fault);
    this.close();
  }

  /** From here on every question has that fault for an answer. */
  #end(fault: Fault): void {
    this.#fault = fault;
    this.#deadline.stop();
    const settleSetup = this.#settleSetup;
    this.#settleSetup = undefined;
    settleSetup?.({ ok: false, step: this.#step, fault });
    this.#queue.fail(fault);
    const sending = this.#sending;
    this.#sending = undefined;
    sending?.fail(fault);
  }
}
