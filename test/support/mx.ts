import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import type { TestCertificate } from './mx-certificate.ts';

/**
 * A fake MX on a real loopback socket, for tests of everything that talks to an MX.
 *
 *     const mx = await startMx({ rcpt: (_s, line) => line.includes('bad') ? '550 5.1.1 no' : '250 ok' });
 *     … connect to 127.0.0.1, mx.port …
 *     const session = await mx.session(0);
 *     session.commands  // ['EHLO relay.example', 'MAIL FROM:<a@b>', …]
 *     session.content   // octets behind DATA exactly as received, with the final dot
 *     await mx.close();
 *
 * A script names an answer for each command; what it does not name is answered as a plain good MX
 * does. An answer is the octets to send (CRLF is added unless they end in one or are a Buffer), or
 * a function that may be asynchronous (so the test decides when the answer goes out, by a promise
 * that it keeps), may use the session to write, drop or reset, and may return nothing.
 */
export interface MxScript {
  readonly greeting?: MxAnswer;
  readonly ehlo?: MxAnswer;
  readonly helo?: MxAnswer;
  /** Offered when `tls` is set; the handshake follows if the answer starts with 220. */
  readonly starttls?: MxAnswer;
  readonly auth?: MxAnswer;
  /** Line in answer to a 334. */
  readonly authLine?: MxAnswer;
  readonly mail?: MxAnswer;
  readonly rcpt?: MxAnswer;
  /** Content is read behind an answer that starts with 354. */
  readonly data?: MxAnswer;
  /** Called for each chunk of content, before its end was looked for. */
  readonly content?: (session: MxSession) => void;
  readonly dot?: MxAnswer;
  readonly rset?: MxAnswer;
  /** The connection is closed after the answer. */
  readonly quit?: MxAnswer;
}

export type MxAnswer =
  | string
  | Buffer
  | ((session: MxSession, line: string) => MxReply | Promise<MxReply>);
type MxReply = string | Buffer | undefined;

export interface MxOptions {
  /** EHLO keywords; default PIPELINING, 8BITMIME, SMTPUTF8, SIZE 10485760. */
  readonly extensions?: readonly string[];
  /** Offers STARTTLS with this certificate. */
  readonly tls?: TestCertificate;
  /** Address to listen at; default 127.0.0.1. */
  readonly host?: string;
  readonly port?: number;
}

const GOOD = {
  greeting: '220 mx.test ESMTP',
  helo: '250 mx.test',
  starttls: '220 2.0.0 ready',
  auth: '235 2.7.0 ok',
  authLine: '235 2.7.0 ok',
  mail: '250 2.1.0 sender ok',
  rcpt: '250 2.1.5 recipient ok',
  data: '354 go ahead',
  dot: '250 2.0.0 queued',
  rset: '250 2.0.0 reset',
  quit: '221 2.0.0 bye',
} as const;

const EXTENSIONS = ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'SIZE 10485760'];

/** Starts a fake MX; see `MxScript`. */
export async function startMx(script: MxScript = {}, options: MxOptions = {}): Promise<FakeMx> {
  const server = createServer({ noDelay: true });
  const mx = new FakeMx(server, script, options);
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1');
  await once(server, 'listening');
  mx.port = (server.address() as AddressInfo).port;
  return mx;
}

export class FakeMx {
  /** May be replaced by the test between sessions. */
  script: MxScript;
  readonly options: MxOptions;
  readonly sessions: MxSession[] = [];
  /** Where it listens, or listened. */
  port = 0;
  readonly #server: Server;
  #waiting: { index: number; resolve: (session: MxSession) => void }[] = [];

  constructor(server: Server, script: MxScript, options: MxOptions) {
    this.#server = server;
    this.script = script;
    this.options = options;
    server.on('connection', (socket) => {
      const session = new MxSession(this, socket);
      this.sessions.push(session);
      this.#waiting = this.#waiting.filter(({ index, resolve }) => {
        const there = this.sessions[index];
        if (there !== undefined) resolve(there);
        return there === undefined;
      });
    });
  }

  /** The session with this index (the first is 0), as soon as it is connected. */
  session(index: number): Promise<MxSession> {
    const there = this.sessions[index];
    if (there !== undefined) return Promise.resolve(there);
    return new Promise((resolve) => this.#waiting.push({ index, resolve }));
  }

  /** All sessions' content, for "how often was it delivered". */
  get contents(): string[] {
    return this.sessions.flatMap(({ contents }) => contents.map((one) => one.toString('latin1')));
  }

  /** Stops listening and destroys what is open. */
  async close(): Promise<void> {
    for (const session of this.sessions) session.reset();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** One connection to the fake MX: a loop over lines, and content while in DATA. */
export class MxSession {
  readonly mx: FakeMx;
  /** Each command line as received, without CRLF. */
  readonly commands: string[] = [];
  /** Octets of each chunk that held commands, to see what came in one write. */
  readonly commandChunks: string[] = [];
  /** Each completed content, as received, with the final dot. */
  readonly contents: Buffer[] = [];
  /** Octets of content so far, with or without an end. */
  content: Buffer = Buffer.alloc(0);
  tls: { readonly protocol: string; readonly servername: string } | undefined;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  #socket: Socket;
  #held: Buffer = Buffer.alloc(0);
  #mode: 'commands' | 'content' | 'auth' = 'commands';
  #busy = false;
  #waiting: { done: () => boolean; resolve: () => void }[] = [];

  constructor(mx: FakeMx, socket: Socket) {
    this.mx = mx;
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    this.#listen(socket);
    void this.#run('greeting', '');
  }

  /** Writes octets as they are. */
  write(octets: string | Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(toBuffer(octets));
  }

  /** Closes with a FIN. */
  drop(): void {
    this.#socket.end();
  }

  /** Closes with an RST. */
  reset(): void {
    if (this.#socket instanceof TLSSocket) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  /** Reads no more: the peer's window fills up. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Resolves when a command that starts with this was received. */
  received(command: string): Promise<void> {
    return this.until(() => this.commands.some((line) => line.startsWith(command)));
  }

  /** Resolves when the condition holds; looked at after each chunk. */
  until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ done, resolve }));
  }

  #listen(socket: Socket): void {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#held = Buffer.concat([this.#held, chunk]);
      if (this.#mode !== 'content') this.commandChunks.push(chunk.toString('latin1'));
      void this.#work();
    });
  }

  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#mode === 'content' ? await this.#readContent() : await this.#readLine());
    this.#busy = false;
    this.#look();
  }

  #look(): void {
    this.#waiting = this.#waiting.filter(({ done, resolve }) => {
      const isDone = done();
      if (isDone) resolve();
      return !isDone;
    });
  }

  async #readLine(): Promise<boolean> {
    const end = this.#held.indexOf('\r\n');
    if (end < 0) return false;
    const line = this.#held.subarray(0, end).toString('utf8');
    this.#held = this.#held.subarray(end + 2);
    this.commands.push(line);
    this.#look();
    const verb = this.#mode === 'auth' ? 'authLine' : (line.split(' ')[0] ?? '').toLowerCase();
    this.#mode = 'commands';
    const answer = await this.#run(verb, line);
    if (verb === 'data' && answer.startsWith('354')) {
      this.#mode = 'content';
      this.content = Buffer.alloc(0);
    }
    if ((verb === 'auth' || verb === 'authLine') && answer.startsWith('334')) this.#mode = 'auth';
    if (verb === 'starttls' && answer.startsWith('220')) this.#startTls();
    if (verb === 'quit') this.drop();
    return true;
  }

  async #readContent(): Promise<boolean> {
    if (this.#held.length === 0) return false;
    this.content = Buffer.concat([this.content, this.#held]);
    this.#held = Buffer.alloc(0);
    this.mx.script.content?.(this);
    const empty = this.content.subarray(0, 3).toString('latin1') === '.\r\n';
    const end = empty ? 3 : this.content.indexOf('\r\n.\r\n') + 5;
    if (end < 5 && !empty) return false;
    this.#held = this.content.subarray(end);
    this.content = this.content.subarray(0, end);
    this.contents.push(this.content);
    this.#mode = 'commands';
    this.#look();
    await this.#run('dot', '.');
    return true;
  }

  /** @returns what was sent in answer, as latin1 */
  async #run(verb: string, line: string): Promise<string> {
    const scripted = this.mx.script[verb as keyof MxScript] as MxAnswer | undefined;
    const answer = scripted ?? this.#goodAnswer(verb);
    const reply = typeof answer === 'function' ? await answer(this, line) : answer;
    if (reply === undefined) return '';
    this.write(typeof reply === 'string' && !reply.endsWith('\r\n') ? `${reply}\r\n` : reply);
    return reply.toString('latin1');
  }

  #goodAnswer(verb: string): MxAnswer {
    if (verb === 'starttls' && this.mx.options.tls === undefined) return '502 5.5.1 no TLS here';
    if (verb !== 'ehlo') return GOOD[verb as keyof typeof GOOD] ?? '500 5.5.1 what?';
    const { extensions = EXTENSIONS, tls } = this.mx.options;
    const offered = [...extensions, ...(tls !== undefined && !this.tls ? ['STARTTLS'] : [])];
    const lines = ['mx.test', ...offered];
    return lines.map((one, i) => `250${i < lines.length - 1 ? '-' : ' '}${one}\r\n`).join('');
  }

  #startTls(): void {
    const { tls } = this.mx.options;
    if (tls === undefined) return;
    this.#socket.removeAllListeners('data');
    const secure = new TLSSocket(this.#socket, {
      isServer: true,
      secureContext: createSecureContext(tls),
      SNICallback: (_name, done) => done(null),
    });
    this.#socket = secure;
    this.#listen(secure);
    secure.once('secure', () => {
      const servername = (secure as { servername?: string | false }).servername;
      this.tls = { protocol: secure.getProtocol() ?? '', servername: servername || '' };
    });
  }
}

function toBuffer(octets: string | Buffer): Buffer {
  return typeof octets === 'string' ? Buffer.from(octets, 'latin1') : octets;
}
