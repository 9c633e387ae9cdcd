/**
 * A lean SMTP client on a raw socket: it counts replies and looks at their codes, no more, so that
 * it costs little beside what is measured. It trusts the server to be well-behaved.
 */
import { connect, type Socket } from 'node:net';

interface Waiter {
  readonly resolve: (code: number) => void;
  readonly reject: (error: Error) => void;
}

export class SmtpSession {
  readonly #socket: Socket;
  readonly #waiting: Waiter[] = [];
  #partial = '';
  #ended: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the server closed the connection')));
  }

  /** Connects and greets; throws if the server refuses. */
  static async open(host: string, port: number): Promise<SmtpSession> {
    const session = new SmtpSession(connect({ host, port, noDelay: true }));
    expectCode(await session.reply(), 220, 'greeting');
    expectCode(await session.command('EHLO bench.example\r\n'), 250, 'EHLO');
    return session;
  }

  /** Waits for the next reply that nobody waits for yet. */
  reply(): Promise<number> {
    if (this.#ended !== undefined) {
      return Promise.reject(this.#ended);
    }
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Writes octets and waits for one reply code. */
  command(octets: string | Buffer): Promise<number> {
    this.#socket.write(octets);
    return this.reply();
  }

  /** Writes octets that hold several commands and waits for that many reply codes. */
  batch(octets: string, replies: number): Promise<number[]> {
    this.#socket.write(octets);
    return Promise.all(Array.from({ length: replies }, () => this.reply()));
  }

  /** Writes octets that no reply follows. Resolves when the kernel has taken them. */
  write(octets: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(octets, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** QUIT, then waits for the connection's end. */
  async quit(): Promise<void> {
    await this.command('QUIT\r\n').catch(() => undefined);
    this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#partial += text;
    let start = 0;
    for (;;) {
      const end = this.#partial.indexOf('\r\n', start);
      if (end < 0) {
        break;
      }
      if (this.#partial.charCodeAt(start + 3) !== HYPHEN) {
        this.#waiting.shift()?.resolve(Number(this.#partial.slice(start, start + 3)));
      }
      start = end + 2;
    }
    this.#partial = this.#partial.slice(start);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const waiter of this.#waiting.splice(0)) {
      waiter.reject(this.#ended);
    }
  }
}

const HYPHEN = 0x2d;

/** Throws unless the reply has this code. */
export function expectCode(code: number, expected: number, what: string): void {
  if (code !== expected) {
    throw new Error(`${what} was answered ${code}, not ${expected}`);
  }
}
