import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** An SMTP client that sends exactly the octets it is told to, and reads whole replies. */
export class RawClient {
  readonly #socket: Socket;
  #held = '';
  #ended = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (octets: Buffer) => {
      this.#held += octets.toString('latin1');
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('close', end);
    socket.on('error', end);
  }

  /** Connects; the greeting is the first `reply`. */
  static async connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = connect(port, host);
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** Connects, reads the greeting and says EHLO. */
  static async session(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const client = await RawClient.connect(port, host);
    await client.reply();
    await client.command('EHLO client.test');
    return client;
  }

  write(octets: string | Buffer): void {
    this.#socket.write(typeof octets === 'string' ? Buffer.from(octets, 'latin1') : octets);
  }

  /** The next whole reply, lines joined by `\n`. @throws when the connection ends before it */
  async reply(): Promise<string> {
    for (;;) {
      const match = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n/.exec(this.#held);
      if (match !== null) {
        this.#held = this.#held.slice(match[0].length);
        return match[0].trimEnd().replaceAll('\r\n', '\n');
      }
      if (this.#ended)
        throw new Error(`the connection ended; unread: ${JSON.stringify(this.#held)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Sends one line and waits for its reply. */
  async command(line: string): Promise<string> {
    this.write(`${line}\r\n`);
    return this.reply();
  }

  /** MAIL, RCPT, DATA and the content (dots are stuffed here). @returns the reply that ended it */
  async send(from: string, to: readonly string[], content: Buffer): Promise<string> {
    for (const line of [`MAIL FROM:<${from}>`, ...to.map((one) => `RCPT TO:<${one}>`)]) {
      const reply = await this.command(line);
      if (!reply.startsWith('2')) return reply;
    }
    const reply = await this.command('DATA');
    if (!reply.startsWith('354')) return reply;
    const text = content.toString('latin1').replace(/^\./gm, '..');
    this.write(text.endsWith('\r\n') ? `${text}.\r\n` : `${text}\r\n.\r\n`);
    return this.reply();
  }

  /** True once the server has closed the connection. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Waits until the server has closed the connection. */
  async untilEnded(): Promise<void> {
    while (!this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
