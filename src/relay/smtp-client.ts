import type { Socket } from 'node:net';
import { type ConnectionOptions, TLSSocket } from 'node:tls';
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
import { NO_EXTENSIONS, readServerFacts, type ServerFacts } from './smtp-client-facts.ts';

/*
 * One connection to an MX: nodemailer's SMTPConnection for greeting, EHLO, HELO, STARTTLS and AUTH,
 * and behind that stepwise commands of our own.
 *
 *   setup ──open()──► commands ──data()──► DATA ──content()──► dot ──► commands
 *     └──────────────────┴──────────────────┴───────────────────┴────► dead (a Fault, for ever)
 *
 * - setup: nodemailer's actions decide; each step has its own deadline.
 * - commands: they wait in `#outbox` until the end of the tick and go out in one write, all of them
 *   if the server has PIPELINING, else one by one. `#asked` is what is on the wire; replies answer
 *   it in order.
 * - DATA: 354 was given. A refusal that comes now stands for the message (`#refusal`).
 * - dot: `#sending` is the message being written, and then the wait for its answer; one that runs
 *   out of time is still listened to for a while, for the log.
 *
 * A reply can only answer a command that was on the wire before its first octet arrived. What comes
 * earlier is unasked-for, and no 2xx of that kind is ever passed on.
 */

/** When `content` has to have an answer, and who hears of one that comes behind that. */
export interface ContentTimes {
  /** Monotonic time. */
  readonly dueMs: number;
  /** How long the server is still listened to behind `dueMs`. */
  readonly lateMs: number;
  readonly onLate: (reply: RemoteReply) => void;
}

export interface SmtpClientOptions {
  /** Connected, without listeners. */
  readonly socket: Socket;
  /** Host name of the server, for the certificate and in replies. */
  readonly host: string;
  readonly address: string;
  readonly ehloName: string;
  readonly startTls: 'never' | 'if-offered' | 'required';
  readonly tlsOptions: ConnectionOptions;
  /** For the greeting, EHLO, STARTTLS, the handshake, AUTH: each, in milliseconds. */
  readonly stepTimeoutMs: number;
  /** Monotonic time at which all of that has to be done. */
  readonly setupDueMs: number;
  readonly clock: Clock;
}

interface Asked {
  readonly command: string;
  readonly line: string;
  /** The positive replies it may have: any 2xx, or exactly 354. */
  readonly expects: 2 | 354;
  readonly dueMs: number;
  readonly settle: (answer: Answer) => void;
}

interface Sending {
  readonly writer: ContentWriter;
  readonly times: ContentTimes;
  readonly settle: (result: ContentResult) => void;
  /** A 2xx that waits for the word that the dot is out. */
  held?: RemoteReply;
}

/** What nodemailer's class has and does not declare. */
interface Stock {
  _onConnect(): void;
  _actionSTARTTLS(reply: string): void;
  _upgradeConnection(callback: (error: Error | null, secured?: boolean) => void): void;
}
const stock = SMTPConnection.prototype as unknown as Stock;

/** The stepwise client. Its methods never reject; a dead connection answers with its fault. */
export class SmtpClient extends SMTPConnection {
  readonly address: string;
  facts: ServerFacts = NO_EXTENSIONS;
  tls:
    | { readonly protocol: string; readonly cipher: string; readonly verified: boolean }
    | undefined;
  /** Milliseconds from STARTTLS to the end of the handshake. */
  tlsMs: number | undefined;

  /** nodemailer's own: handlers of the replies that its setup waits for. */
  declare _responseActions: ((this: unknown, reply: string) => void)[];
  /** nodemailer's own: the mechanisms that `login` chooses from. */
  declare _supportedAuth: string[];

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
  #outbox: Asked[] = [];
  #asked: Asked[] = [];
  /** The server began a reply while nothing was on the wire. */
  #unaskedPart = false;
  #inData = false;
  #refusal: RemoteReply | undefined;
  #sending: Sending | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  #cancelTimer = (): void => {};

  constructor(options: SmtpClientOptions) {
    super({
      connection: options.socket,
      host: options.host,
      port: 25,
      secure: false,
      name: options.ehloName,
      logger: false,
      ignoreTLS: options.startTls === 'never',
      requireTLS: options.startTls === 'required',
      tls: options.tlsOptions,
      // Whoever closes here has no use for what the server may still say.
      socketCloseTimeout: 0,
    });
    this.address = options.address;
    this.#options = options;
    this.#clock = options.clock;
  }

  /** Why the connection is dead; undefined while it lives. */
  get fault(): Fault | undefined {
    return this.#fault;
  }

  /** The refusal that came after 354 and before any content; a 421 is a fault instead. */
  get refusal(): RemoteReply | undefined {
    return this.#refusal;
  }

  /** True while the server may have the final dot and has not answered it. */
  get awaitsDotReply(): boolean {
    return this.#sending?.writer.mayHaveEnded === true;
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
   * Ends the session politely. Where a command or content is under way it can only be dropped.
   *
   * @param waitMs how long the answer is waited for before the socket is destroyed
   */
  override async quit(waitMs = 0): Promise<void> {
    const busy = this.#asked.length > 0 || this.#inData || this.#settleSetup !== undefined;
    if (this.#fault === undefined && !busy) {
      await this.#ask('QUIT', commandLine('QUIT'), 2, this.#clock.monotonicMs() + waitMs);
    }
    this.destroy();
  }

  /** Drops the connection as it stands; content on its way is not completed. */
  destroy(): void {
    this.#fail({ kind: 'closed', detail: 'given up by the relay' });
  }

  /** Sends the content and the final dot, and waits for the answer. */
  async content(source: MessageSource, times: ContentTimes): Promise<ContentResult> {
    // What has arrived is read first: an answer in it is not one to our dot.
    await nextTurn();
    if (this.#refusal !== undefined) return { kind: 'reply', reply: this.#refusal };
    if (this.#fault !== undefined) {
      return { kind: 'not-sent', fault: this.#fault, begun: false };
    }
    return new Promise((settle) => {
      const writer = new ContentWriter(this.#wire);
      this.#sending = { writer, times, settle };
      this.#watch(times.dueMs);
      writer.write(source).catch((error: unknown) => {
        this.#fail({ kind: 'source', detail: errorMessage(error) });
      });
    });
  }

  // ---- what nodemailer calls ----

  /** Stock: three timers of its own; here each wait has one absolute deadline on the clock. */
  _startPhase(): void {}

  /** Stock: an inactivity time-out, which a server that trickles never meets. */
  _onConnect(): void {
    stock._onConnect.call(this);
    if (this.#fault !== undefined) return;
    this.#wire.setTimeout(0);
    this.#beginStep('greeting', 'greeting');
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
        const { standardName, name } = socket.getCipher();
        this.tls = {
          protocol: socket.getProtocol() ?? 'TLS',
          cipher: standardName ?? name,
          verified: socket.authorized,
        };
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
    const onWire = this.#asked.length + this._responseActions.length;
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
    const extra = found[answerable];
    if (extra !== undefined && !(extra.kind === 'reply' && extra.code >= 400)) {
      // It cannot be told which of them answers what: none of them counts.
      this.#fail(
        extra.kind === 'malformed'
          ? { kind: 'malformed', detail: extra.what }
          : { kind: 'out-of-step', detail: `it said ${extra.code} without being asked` },
      );
      return;
    }
    for (const [index, item] of found.entries()) {
      if (item.kind === 'malformed') this.#fail({ kind: 'malformed', detail: item.what });
      else if (index < answerable) this.#answer(item);
      else this.#unasked(item);
      if (this.#fault !== undefined) return;
    }
    if (this.#outbox.length > 0 && this.#asked.length === 0) this.#flush();
  }

  #answer(item: ParsedReply & { kind: 'reply' }): void {
    const asked = this.#asked[0];
    if (asked === undefined) {
      const reply = this.#remote(item, this.#stepCommand);
      this._responseActions.shift()?.call(this, this.#textForStock(reply));
      return;
    }
    const { code } = item;
    const positive = asked.expects === 354 ? code === 354 : code < 300;
    if (!positive && code < 400) {
      this.#fail({ kind: 'out-of-step', detail: `it answered ${asked.command} with ${code}` });
      return;
    }
    this.#asked.shift();
    if (code === 354) this.#inData = true;
    asked.settle({ kind: 'reply', reply: this.#remote(item, asked.command) });
    if (code === 421) this.#fail({ kind: 'closed', detail: `it said 421 to ${asked.command}` });
  }

  #unasked(item: ParsedReply & { kind: 'reply' }): void {
    const reply = this.#remote(item, this.#inData ? 'DATA' : '');
    const sending = this.#sending;
    if (sending !== undefined) {
      this.#endSending(sending, { kind: 'reply', reply });
      this.#fail({
        kind: 'closed',
        detail: `it said ${item.code} before the content was complete`,
      });
    } else if (item.code === 421) {
      this.#fail({ kind: 'closed', detail: `it said 421 ${item.lines[0] ?? ''}` });
    } else if (this.#inData) {
      this.#refusal ??= reply;
    } else {
      this.#fail({ kind: 'out-of-step', detail: `it said ${item.code} without being asked` });
    }
  }

  #answerDot(sending: Sending, found: readonly ParsedReply[], unasked: boolean): void {
    const [first, ...rest] = found;
    if (first === undefined) return;
    if (first.kind === 'malformed') {
      this.#fail({ kind: 'malformed', detail: first.what });
      return;
    }
    const kind = Math.trunc(first.code / 100);
    const contradicted = rest.some(
      (item) => item.kind === 'reply' && item.code !== 421 && Math.trunc(item.code / 100) !== kind,
    );
    if (kind === 3 || contradicted || (kind === 2 && unasked)) {
      this.#fail({
        kind: 'out-of-step',
        detail: `it said ${first.code}, and not to our dot alone`,
      });
      return;
    }
    const reply = this.#remote(first, '.');
    if (kind > 3 || sending.writer.flushed) {
      this.#endSending(sending, { kind: 'reply', reply });
      if (rest.length > 0 || first.code === 421) this.#lost('nothing may follow its last reply');
    } else if (sending.writer.mayHaveEnded) {
      // TLS: the word that the dot is out comes with the next turns, if it is.
      sending.held = reply;
      void nextTurn()
        .then(nextTurn)
        .then(() => this.#judgeHeld(sending));
    } else {
      this.#fail({ kind: 'out-of-step', detail: `it said ${first.code} before it had our dot` });
    }
  }

  #judgeHeld(sending: Sending): void {
    if (this.#sending !== sending || sending.held === undefined) return;
    if (sending.writer.flushed) this.#endSending(sending, { kind: 'reply', reply: sending.held });
    else this.#fail({ kind: 'out-of-step', detail: 'it said 2xx before it had our dot' });
  }

  #endSending(sending: Sending, result: ContentResult): void {
    this.#sending = undefined;
    this.#inData = false;
    sending.writer.stop();
    sending.settle(result);
  }

  #remote(item: ParsedReply & { kind: 'reply' }, command: string): RemoteReply {
    const { host, address } = this;
    const reply = { origin: 'remote', code: item.code, lines: item.lines, host, address, command };
    this.#lastReply = reply as RemoteReply;
    return this.#lastReply;
  }

  /** The reply as nodemailer's actions take it, with no keyword in it but a true STARTTLS. */
  #textForStock({ code, lines }: RemoteReply): string {
    if (this.#stepCommand !== 'EHLO') return `${code} ${lines.join(' ')}`;
    return readServerFacts(lines).startTls ? `${code}-x\n${code} STARTTLS` : `${code} x`;
  }

  // ---- commands ----

  #ask(command: string, line: string, expects: 2 | 354, dueMs: number): Promise<Answer> {
    if (this.#fault !== undefined) return Promise.resolve(this.#fault);
    return new Promise((settle) => {
      this.#outbox.push({ command, line, expects, dueMs, settle });
      // Behind the promise jobs of this tick, so that what they ask for travels along.
      if (this.#outbox.length === 1) {
        queueMicrotask(() => process.nextTick(() => this.#flush()));
      }
    });
  }

  #flush(): void {
    if (this.#fault !== undefined || this.#outbox.length === 0) return;
    if (!this.facts.pipelining && this.#asked.length > 0) return;
    const batch = this.facts.pipelining ? this.#outbox : this.#outbox.slice(0, 1);
    this.#outbox = this.#outbox.slice(batch.length);
    this.#asked.push(...batch);
    let lines = '';
    let dueMs = Number.POSITIVE_INFINITY;
    for (const asked of batch) {
      lines += asked.line;
      dueMs = Math.min(dueMs, asked.dueMs);
    }
    this.#wire.write(lines);
    this.#watch(dueMs);
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
    this.#watch(this.#stepDueMs);
  }

  #setUp(): void {
    this.#stepDueMs = Number.POSITIVE_INFINITY;
    const settle = this.#settleSetup;
    this.#settleSetup = undefined;
    settle?.({ ok: true });
  }

  /** One timer for all deadlines; an earlier one than needed just looks again. */
  #watch(dueMs: number): void {
    if (this.#timerDueMs <= dueMs) return;
    this.#cancelTimer();
    this.#timerDueMs = dueMs;
    const delayMs = Math.max(0, dueMs - this.#clock.monotonicMs());
    this.#cancelTimer = this.#clock.after(Math.ceil(delayMs), () => {
      this.#timerDueMs = Number.POSITIVE_INFINITY;
      this.#lookAtDeadlines();
    });
  }

  #lookAtDeadlines(): void {
    if (this.#fault !== undefined) return;
    const sending = this.#sending;
    let dueMs = Math.min(this.#stepDueMs, sending?.times.dueMs ?? Number.POSITIVE_INFINITY);
    for (const asked of this.#asked) dueMs = Math.min(dueMs, asked.dueMs);
    if (dueMs === Number.POSITIVE_INFINITY) return;
    if (dueMs > this.#clock.monotonicMs()) {
      this.#watch(dueMs);
    } else if (sending !== undefined && sending.times.lateMs > 0 && this.awaitsDotReply) {
      this.#listenOn(sending);
    } else {
      this.#fail({ kind: 'timeout', detail: `no answer to ${this.#waitedFor()} in time` });
    }
  }

  #waitedFor(): string {
    if (this.#sending !== undefined) return 'the content';
    return this.#asked[0]?.command ?? this.#stepCommand;
  }

  /** The outcome is unknown; what the server still says is for the log only. */
  #listenOn(sending: Sending): void {
    const { writer, times } = sending;
    const dueMs = this.#clock.monotonicMs() + times.lateMs;
    const settle = (result: ContentResult) => {
      if (result.kind === 'reply') times.onLate(result.reply);
      this.destroy();
    };
    this.#sending = { writer, times: { ...times, dueMs, lateMs: 0 }, settle };
    this.#watch(dueMs);
    const fault: Fault = { kind: 'timeout', detail: 'no answer to the final dot in time' };
    sending.settle({ kind: 'unknown', fault });
  }

  #lost(detail: string): void {
    this.#fail({ kind: this.upgrading === true ? 'tls' : 'closed', detail });
  }

  #fail(fault: Fault): void {
    if (this.#fault !== undefined) return;
    this.#fault = fault;
    this.#cancelTimer();
    this.close();
    const settleSetup = this.#settleSetup;
    this.#settleSetup = undefined;
    settleSetup?.({ ok: false, step: this.#step, fault });
    for (const asked of [...this.#asked, ...this.#outbox]) asked.settle(fault);
    this.#asked = [];
    this.#outbox = [];
    const sending = this.#sending;
    if (sending === undefined) return;
    const { held, writer } = sending;
    if (held !== undefined && writer.flushed) {
      this.#endSending(sending, { kind: 'reply', reply: held });
    } else {
      this.#endSending(
        sending,
        writer.mayHaveEnded ? { kind: 'unknown', fault } : { kind: 'not-sent', fault, begun: true },
      );
    }
  }
}
