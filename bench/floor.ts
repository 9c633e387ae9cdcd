/**
 * The floor: what any signing relay in Node has to pay. A TCP pipe that passes octets on as they
 * came, SHA-256 over the content, and one signature with a parsed key for each message, made off the
 * event loop while the final dot is held back. It parses nothing (a `354` and an end of data are
 * all it knows of SMTP), checks nothing and adds nothing: what it passes on is not signed mail.
 */
import { createHash, type Hash } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { makeBenchKey, type SignatureKind, signOnce } from './bench-key.ts';
import { obey, readOptions, report } from './control.ts';

export interface FloorOptions {
  readonly host: string;
  readonly sinkHost: string;
  readonly sinkPort: number;
  readonly signature: SignatureKind;
}

const options = readOptions<FloorOptions>();
const key = makeBenchKey(options.signature);
/** Stands for the canonicalised header that a relay would sign. */
const headerOctets = Buffer.alloc(600, 'h');

/** Joins a client's connection to one of the sink, until either ends. */
class Pipe {
  readonly #client: Socket;
  readonly #sink: Socket;
  #tail: Buffer = Buffer.alloc(0);
  #bodyHash: Hash | undefined;

  constructor(client: Socket) {
    this.#client = client;
    this.#sink = connect({ host: options.sinkHost, port: options.sinkPort, noDelay: true });
    client.on('data', (piece) => this.#fromClient(piece));
    this.#sink.on('data', (piece) => this.#fromSink(piece));
    join(client, this.#sink);
    join(this.#sink, client);
  }

  #fromSink(piece: Buffer): void {
    // Replies are short and come in one piece: a 354 is the start of the last line.
    const lastLine = piece.lastIndexOf(0x0a, piece.length - 2) + 1;
    if (piece[lastLine] === THREE) {
      this.#bodyHash = createHash('sha256');
    }
    this.#client.write(piece);
  }

  #fromClient(piece: Buffer): void {
    if (this.#bodyHash === undefined) {
      this.#forward(piece);
      return;
    }
    this.#bodyHash.update(piece);
    if (this.#endsMessage(piece)) {
      this.#bodyHash.digest();
      this.#bodyHash = undefined;
      signOnce(key, headerOctets, () => this.#sink.write(piece));
    } else {
      this.#forward(piece);
    }
  }

  /** The generators wait after the final dot, so an end of data is always at the end of a piece. */
  #endsMessage(piece: Buffer): boolean {
    const end =
      piece.length >= END.length ? piece : Buffer.concat([this.#tail, piece]).subarray(-END.length);
    this.#tail = end.subarray(-END.length);
    return this.#tail.equals(END);
  }

  #forward(piece: Buffer): void {
    if (!this.#sink.write(piece)) {
      this.#client.pause();
      this.#sink.once('drain', () => this.#client.resume());
    }
  }
}

const THREE = 0x33;
const END = Buffer.from('\r\n.\r\n');

/** When one side ends, so does the other. */
function join(from: Socket, to: Socket): void {
  from.on('end', () => to.end());
  from.on('error', () => to.destroy());
  from.on('close', () => to.destroy());
}

const server = createServer({ noDelay: true }, (client) => new Pipe(client));
server.listen({ host: options.host, port: 0, backlog: 4096 }, () => {
  const address = server.address();
  report({ port: address !== null && typeof address === 'object' ? address.port : 0 });
});
obey({});
