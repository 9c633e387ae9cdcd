import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { SMTPServer } from 'smtp-server';
import { SMTPConnection, type SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import type { Client } from '../mail/client.ts';
import { renderReply } from '../mail/render-reply.ts';
import { localReply, type Reply } from '../mail/reply.ts';
import type { AbortReason } from '../mail/transaction.ts';
import { plainAddress } from './allow-list.ts';
import { certificateNames } from './certificate-names.ts';
import { CommandReader, type ContentStep } from './command-reader.ts';
import { IdleWatch } from './idle-watch.ts';
import { MailExchange } from './mail-exchange.ts';
import { ReplyQueue } from './reply-queue.ts';
import { type CommandRow, commandRows, isHttpRequest } from './session-commands.ts';
import type { SessionHost } from './session-host.ts';

/** RCPTs whose replies may be awaited at one time; the next one is not read before. */
const MAX_OUTSTANDING = 100;
/** RFC 5321 section 4.5.3.1.4 asks for 512 octets and more for each extension. */
const MAX_COMMAND_BYTES = 2048;
/** RFC 4954 section 4 asks for 12,288 octets. */
const MAX_AUTH_BYTES = 12_288;

/**
 * One client connection. This is the only file that extends smtp-server's connection; taken from it
 * are the socket's life, STARTTLS, the AUTH exchange and the closing of connections. Overridden:
 *
 * | method         | because the library …                                                      |
 * |----------------|----------------------------------------------------------------------------|
 * | init           | waits 100 ms before the greeting                                           |
 * | _createParser  | ends lines at a bare LF, kills the session for a long one, copies content  |
 * | _onCommand     | runs RCPTs one after the other, answers one by one, drains in transactions |
 * | send           | writes each reply at once, without rule and id                             |
 * | _sendGreeting  | cannot refuse a client or a connection too many with a reply of ours       |
 * | upgrade        | must not leave a batched reply or a transaction behind                     |
 * | _armTimeout    | starts the idle time anew for each octet of a command                      |
 * | _whenWritable  | waits for ever for a client that reads no replies                          |
 * | _onClose, close| knows nothing of transactions                                              |
 */
export class Session extends SMTPConnection {
  readonly #host: SessionHost;
  readonly #replies: ReplyQueue;
  readonly #exchange: MailExchange;
  readonly #watch: IdleWatch;
  /** Opened while its client had `limits.sessionsPerClient` sessions already. */
  readonly #overLimit: boolean;
  /** The client has sent its FIN. */
  #clientEnded = false;
  /** The reader has used up all input. */
  #starved = true;
  #errors = 0;
  /** The command under way, for the rule in replies of the library. */
  #command = 'connect';
  /** The TLS socket from the beginning of its handshake; before, the plain one. */
  #topSocket: Socket;
  #certificateName: string | undefined;

  constructor(
    server: SMTPServer,
    socket: Socket,
    host: SessionHost,
    options?: SMTPConnectionOptions,
  ) {
    super(server, socket, options);
    this.#host = host;
    this.#topSocket = socket;
    this.name = host.name;
    const { limits, clock, transactions } = host;
    this.#overLimit = host.sessionsOf(this.address) >= limits.sessionsPerClient;
    this.#replies = new ReplyQueue(
      (octets) => this.#write(octets),
      () => {
        if (this.#starved) this.#watch.clientOwes();
      },
    );
    this.#exchange = new MailExchange({
      transactions: transactions.openSession(),
      maxMessageBytes: limits.messageBytes,
      maxRecipients: limits.recipients,
      client: () => this.#client(),
      refusal: () => this.#clientGone() ?? this.#tooManySessions(),
      fault: (where, error) => host.fault(`session.${where}`, error),
    });
    this.#watch = new IdleWatch(clock, limits.idleMs, () => this.#idle());
  }

  /** The client's IP address. */
  get address(): string {
    return plainAddress(this.remoteAddress);
  }

  /** True while a transaction is under way. */
  get inTransaction(): boolean {
    return this.#exchange.id !== undefined;
  }

  /** The rows of the command table use this. */
  get exchange(): MailExchange {
    return this.#exchange;
  }

  get host(): SessionHost {
    return this.#host;
  }

  /** Greets at once: an allowed client is not kept waiting (contract, promise 6). */
  override init(): void {
    this._setListeners(() => this.connectionReady());
  }

  override _sendGreeting(): void {
    const { name, overfull, offersAuth, takesCertificates } = this.#host;
    const { address } = this;
    if (overfull) {
      this.#say(localReply(421, '4.3.2', 'limits.sessions', `${name} has too many sessions open`));
    } else if (this.#host.allowsAddress(address)) {
      this.#greet();
    } else if (!offersAuth && !takesCertificates) {
      const text = `${name} does not relay for ${address}: it is not in clients.allow`;
      this.#say(localReply(554, '5.7.1', 'client.allowed', text));
      this.close();
    } else if (this.#host.tooManyStrangers(address)) {
      const text = `Too many sessions of clients that are not in clients.allow, as ${address}`;
      this.#say(localReply(421, '4.7.0', 'limits.strangers', text));
    } else {
      this.#greet();
    }
  }

  /** Runs in the library's constructor, so it must not touch a field of this class. */
  override _createParser(): CommandReader {
    return new CommandReader({
      command: (line, done) => this._onCommand(line, done),
      overlong: (done) => this.#overlong(done),
      content: (chunk) => this.#content(chunk),
      contentEnded: (done) => this.#contentEnded(done),
      starved: () => this.#starve(),
      ended: () => this.#replies.whenBelow(1, () => this.close()),
      lineLimit: (line) =>
        this._nextHandler !== false || /^auth /i.test(line.toString('latin1', 0, 5))
          ? MAX_AUTH_BYTES
          : MAX_COMMAND_BYTES,
    });
  }

  /** RCPTs travel side by side; every other command waits until all replies are out. */
  override _onCommand(line: Buffer, callback: () => void = () => {}): void {
    this.#ourTurn();
    const done = () => this._whenWritable(callback);
    const text = line.toString('latin1');
    const space = text.indexOf(' ');
    const verb = (space < 0 ? text : text.slice(0, space)).toUpperCase();
    const continued = this._nextHandler;
    const row = continued === false ? commandRows.get(verb) : undefined;
    const places = row?.concurrent === true ? MAX_OUTSTANDING : 1;
    this.#replies.whenBelow(places, () => {
      if (this._closing || this._closed) return;
      this.#command = row === undefined ? 'auth' : verb.toLowerCase();
      const draining = this.#host.draining && !this.inTransaction && verb !== 'QUIT';
      if (draining) {
        const text = `${this.name} is shutting down, try again later`;
        this.#say(localReply(421, '4.3.2', 'session.draining', text));
      } else if (continued !== false) {
        this._nextHandler = false;
        continued.call(this, line, done);
      } else if (isHttpRequest(text)) {
        this.#say(localReply(421, '4.7.0', 'command.http', 'This is no web server'));
      } else {
        this.#dispatch(row, line, line.subarray(verb.length), done);
      }
    });
  }

  /** Replies of the library itself: AUTH and STARTTLS. */
  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    const enhanced = code === 538 ? '5.7.11' : this._getEnhancedStatusCode(code, context);
    const rule = `${code < 400 ? 'session' : 'command'}.${this.#command}`;
    this.#say(localReply(code, enhanced || undefined, rule, data ?? ''));
  }

  /** STARTTLS: nothing that came before the handshake counts after it (RFC 3207 section 4.2). */
  override upgrade(callback: () => void, secureCallback?: () => void): void {
    this.#exchange.abort('tls-started');
    this.#replies.flush();
    super.upgrade(callback, () => {
      this.#certificateName = this.#allowedCertificateName();
      if (this.#certificateName !== undefined) this.#host.admitted(this);
      this.#watch.weOwe();
      this.#watch.clientOwes();
      secureCallback?.();
    });
    this.#watch.clientOwes();
  }

  /**
   * The idle watch takes the place of the socket's own timer. The library hands over each socket it
   * makes; one that shakes hands must be destroyed from the top.
   */
  override _armTimeout(socket: Socket = this._socket): void {
    this.#topSocket = socket;
    socket.once('end', () => this.#ended());
  }

  /** A client that does not read its replies owes us that. */
  override _whenWritable(next: () => void): void {
    if (!this._socket.writableNeedDrain) {
      next();
      return;
    }
    this.#watch.clientOwes();
    super._whenWritable(() => {
      this.#watch.weOwe();
      next();
    });
  }

  override close(): void {
    this.#replies.flush();
    this.#host.leaving(this);
    super.close();
  }

  /**
   * After QUIT. Many clients are gone by then (Postfix does not wait for 221), which would be an
   * error, made with its stack, on a socket that still reads.
   */
  hangUp(): void {
    this.close();
    this._socket.destroySoon();
  }

  override _onClose(): void {
    this.#lost();
    this.#host.closed(this);
    super._onClose();
  }

  /** Gives up what is under way and closes with 421. */
  shutDown(): void {
    this.#exchange.abort('connection-lost');
    this.#say(localReply(421, '4.3.2', 'session.draining', `${this.name} is shutting down`));
    if (this._upgrading) this.#topSocket.destroy();
    else this._socket.destroySoon();
  }

  /** Drops the connection, whatever is still to be written. */
  destroy(): void {
    this.#topSocket.destroy();
  }

  #greet(): void {
    this.#say(localReply(220, undefined, 'session.greeting', `${this.name} ESMTP Waxseal`));
  }

  #dispatch(row: CommandRow | undefined, line: Buffer, argument: Buffer, done: () => void): void {
    const idBefore = this.#exchange.id;
    const outcome: Reply | Promise<Reply> | 'taken' =
      row === undefined
        ? localReply(500, '5.5.2', 'command.unknown', 'The command is not known')
        : row.afterHello && this.openingCommand === false
          ? localReply(503, '5.5.1', 'command.sequence', 'Say EHLO first')
          : row.run({ session: this, line, argument, done });
    if (outcome === 'taken') return;
    const id = this.#exchange.id ?? idBefore ?? this.id;
    if (!(outcome instanceof Promise)) {
      this.#say(outcome, id);
      done();
    } else if (row?.concurrent === true) {
      this.#replies.addLater(outcome.then((reply) => renderReply(reply, id)));
      done();
    } else {
      void outcome.then((reply) => this.#answered(reply, id, done));
    }
  }

  #answered(reply: Reply, id: string, done: () => void): void {
    if (this._closing || this._closed) return;
    this.#say(reply, id);
    if (this.#exchange.receiving && this._parser instanceof CommandReader) {
      this._parser.startContent();
    }
    done();
  }

  #overlong(done: () => void): void {
    this.#ourTurn();
    this._nextHandler = false;
    this.#replies.whenBelow(1, () => {
      this.#say(localReply(500, '5.5.2', 'command.length', 'The line is too long'));
      done();
    });
  }

  #content(chunk: Buffer): ContentStep {
    this.#watch.progress(chunk.length);
    const step = this.#exchange.content(chunk);
    if (step.wait !== undefined) {
      this.#ourTurn();
      void step.wait.then(() => this.#watch.clientOwes());
    }
    return step;
  }

  #contentEnded(done: () => void): void {
    this.#ourTurn();
    const id = this.#exchange.id ?? this.id;
    void this.#exchange.finish().then((reply) => {
      if (reply.code < 400) this.#errors = 0;
      this.#answered(reply, id, () => this._whenWritable(done));
    });
  }

  #starve(): void {
    this.#starved = true;
    if (this.#replies.outstanding === 0) this.#watch.clientOwes();
  }

  #ourTurn(): void {
    this.#starved = false;
    this.#watch.weOwe();
  }

  /**
   * Puts a reply into its place. A local 421 closes the session, so it takes the place of all
   * replies that are still awaited: a client must not be left without one.
   */
  #say(reply: Reply, id = this.#exchange.id ?? this.id): void {
    if (this._closing || this._closed || this._upgrading) return;
    const said = this.#withinErrors(reply);
    if (said.origin !== 'local' || said.code !== 421) {
      this.#replies.add(renderReply(said, id));
      return;
    }
    this.#replies.addLast(renderReply(said, id));
    this.#host.event('session-closed-by-us', { id: this.id, rule: said.rule });
    this.#exchange.abort('reset');
    this.close();
  }

  /**
   * Counts commands that make no sense, and those of a client that may not send (530), each of
   * which would be a record in the log. Address errors and other refusals are not among them.
   */
  #withinErrors(reply: Reply): Reply {
    if (reply.origin !== 'local') return reply;
    if (reply.code !== 530 && !reply.rule.startsWith('command.')) return reply;
    this.#errors += 1;
    if (this.#errors < this.#host.limits.protocolErrors) return reply;
    return localReply(421, '4.7.0', 'limits.protocol-errors', 'Too many errors, closing');
  }

  #write(octets: string): void {
    if (!this._upgrading && !this._socket.destroyed && this._socket.writable) {
      this._socket.write(octets, 'latin1');
    }
  }

  #idle(): void {
    if (this._upgrading) {
      this.destroy();
      return;
    }
    this.#exchange.abort('timeout');
    const text = `Nothing came for ${Math.round(this.#host.limits.idleMs / 1000)} s`;
    this.#say(localReply(421, '4.4.2', 'limits.idle', text));
  }

  /**
   * FIN: the client is gone, or it has said all that it wants to say and still reads. Nobody can
   * tell, so what has not gone out to the MX is given up, as for a client that is gone; what was
   * asked is answered, and the session closes behind that. A message without its end owes nothing.
   */
  #ended(): void {
    this.#clientEnded = true;
    const { receiving } = this.#exchange;
    this.#exchange.abort('connection-lost');
    if (this._upgrading) this.destroy();
    else if (receiving) this.close();
  }

  #clientGone() {
    return this.#clientEnded
      ? localReply(421, '4.4.2', 'client.gone', 'The connection was closed before this command')
      : undefined;
  }

  #lost(reason: AbortReason = 'connection-lost'): void {
    this.#exchange.abort(reason);
    this.#exchange.close();
    this.#watch.stop();
  }

  #tooManySessions() {
    const { limits } = this.#host;
    const over = this.#overLimit && this.#host.sessionsOf(this.address) > limits.sessionsPerClient;
    if (!over) return undefined;
    const text = `${this.address} has more than ${limits.sessionsPerClient} sessions open`;
    return localReply(451, '4.3.2', 'limits.sessions-per-client', text);
  }

  #allowedCertificateName(): string | undefined {
    const socket = this._socket;
    if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
    const names = certificateNames(socket.getPeerCertificate());
    return this.#host.allowsCertificate(names) ? (names[0] ?? 'certificate') : undefined;
  }

  #client(): Client {
    const user = typeof this.session.user === 'string' ? this.session.user : undefined;
    const byAddress = this.#host.allowsAddress(this.address) ? 'address' : undefined;
    const byCertificate = this.#certificateName === undefined ? undefined : 'certificate';
    const socket = this._socket;
    return {
      address: this.address,
      port: this.remotePort,
      heloName: this.hostNameAppearsAs || '',
      protocol: this._transmissionType(),
      tls:
        socket instanceof TLSSocket
          ? { protocol: socket.getProtocol() ?? '', cipher: socket.getCipher()?.name ?? '' }
          : undefined,
      identity: user ?? this.#certificateName,
      allowedBy: user === undefined ? (byCertificate ?? byAddress) : 'auth',
    };
  }
}
