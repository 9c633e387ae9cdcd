/**
 * The MX, a process of its own: takes everything, keeps nothing, counts. It can be far away
 * (`delayMs`, on each batch of replies) or stuck (`stallRcpt`: RCPT is never answered).
 */
import { createServer, type Socket } from 'node:net';
import { ContentEnd } from './content-end.ts';
import { obey, readOptions, report } from './control.ts';

export interface SinkOptions {
  readonly host: string;
  readonly port: number;
  readonly delayMs?: number;
  readonly stallRcpt?: boolean;
}

export interface SinkCounts {
  messages: number;
  /** Messages whose header held a DKIM-Signature field. */
  signed: number;
  bytes: number;
  connections: number;
  openConnections: number;
  stalledRcpts: number;
}

const EHLO = '250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600\r\n';
const OK = '250 2.0.0 Ok\r\n';
/** Header octets that are looked through for a signature. */
const MAX_HEAD_BYTES = 16384;

const options = readOptions<SinkOptions>();
const counts: SinkCounts = {
  messages: 0,
  signed: 0,
  bytes: 0,
  connections: 0,
  openConnections: 0,
  stalledRcpts: 0,
};

class SinkSession {
  readonly #socket: Socket;
  readonly #contentEnd = new ContentEnd();
  #inContent = false;
  #head = '';
  #line = '';

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#reply('220 sink.example ESMTP\r\n');
    socket.on('data', (piece) => this.#take(piece));
  }

  #take(piece: Buffer): void {
    let rest = piece;
    let replies = '';
    while (rest.length > 0) {
      if (this.#inContent) {
        const end = this.#contentEnd.find(rest);
        const taken = end < 0 ? rest.length : end;
        counts.bytes += taken;
        if (this.#head.length < MAX_HEAD_BYTES) {
          this.#head += rest.toString('latin1', 0, Math.min(taken, MAX_HEAD_BYTES));
        }
        if (end >= 0) {
          this.#countMessage();
          replies += OK;
        }
        rest = rest.subarray(taken);
      } else {
        const end = rest.indexOf(0x0a);
        const taken = end < 0 ? rest.length : end + 1;
        this.#line += rest.toString('latin1', 0, taken);
        if (end >= 0) {
          replies += this.#command(this.#line);
          this.#line = '';
        }
        rest = rest.subarray(taken);
      }
    }
    this.#reply(replies);
  }

  #countMessage(): void {
    this.#inContent = false;
    counts.messages += 1;
    const headEnd = this.#head.indexOf('\r\n\r\n');
    const head = headEnd < 0 ? this.#head : this.#head.slice(0, headEnd);
    if (/^DKIM-Signature:/im.test(head)) {
      counts.signed += 1;
    }
    this.#head = '';
  }

  #command(line: string): string {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === 'EHLO') {
      return EHLO;
    }
    if (verb === 'DATA') {
      this.#inContent = true;
      return '354 go ahead\r\n';
    }
    if (verb === 'RCPT' && options.stallRcpt === true) {
      counts.stalledRcpts += 1;
      return '';
    }
    return verb === 'QUIT' ? '221 2.0.0 Bye\r\n' : OK;
  }

  #reply(text: string): void {
    if (text === '') {
      return;
    }
    const write = (): void => {
      if (this.#socket.writable) {
        this.#socket.write(text);
      }
    };
    if (options.delayMs === undefined) {
      write();
    } else {
      setTimeout(write, options.delayMs);
    }
  }
}

const server = createServer({ noDelay: true }, (socket) => {
  counts.connections += 1;
  counts.openConnections += 1;
  socket.on('error', () => undefined);
  socket.on('close', () => {
    counts.openConnections -= 1;
  });
  new SinkSession(socket);
});
server.listen({ host: options.host, port: options.port, backlog: 4096 }, () => {
  const address = server.address();
  report({ port: address !== null && typeof address === 'object' ? address.port : 0 });
});
obey({
  counts: () => counts,
  reset: () => {
    counts.messages = 0;
    counts.signed = 0;
    counts.bytes = 0;
    return counts;
  },
});
