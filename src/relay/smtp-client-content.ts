import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { freeBuffer } from '../base/free-buffer.ts';
import { DotEncoder } from './dot-encoder.ts';

/** A message to send: header fields of ours, then the message as the client sent it. */
export interface MessageSource {
  /** Complete header fields that go on top, CRLF line ends; may be empty. */
  readonly prefix: Buffer;
  /** The whole message, CRLF line ends, if it is in memory. */
  buffers(): readonly Buffer[] | undefined;
  /** The whole message from its beginning, in buffers for the caller to free; each call starts anew. */
  chunks(): AsyncIterable<Buffer>;
}

/** Up to here one copy into one buffer is cheaper than handing over many. */
const ONE_WRITE_BYTES = 64 * 1024;

/**
 * Resolves when everything that had arrived has been read from the sockets: a turn that is under
 * way may have looked at the sockets already, so it takes the next one, too.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}

/**
 * Writes one message to a socket that stands in DATA, dots encoded, and knows how far it came:
 *
 *   writing ──► ended ──► flushed        any ──stop()──► stopped
 *
 * - `ended`: the final dot was handed to Node.
 * - `flushed`: it was handed to the kernel, so the server may have it.
 */
export class ContentWriter {
  readonly #socket: Socket;
  #state: 'writing' | 'ended' | 'flushed' = 'writing';
  /** Since two turns `ended`: the word that it is `flushed` would have come. */
  #settled = false;
  #stopped = false;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get ended(): boolean {
    return this.#state !== 'writing';
  }

  get flushed(): boolean {
    return this.#state === 'flushed';
  }

  /**
   * True if the server may have the final dot. A TCP socket tells at once when the kernel took the
   * last octet; a TLS socket tells it a turn of the event loop later, so there `ended` counts for
   * the turns in which it is not known. What still waits in Node then has not left.
   */
  get mayHaveEnded(): boolean {
    return this.flushed || (this.ended && !this.#settled && this.#socket instanceof TLSSocket);
  }

  /** Writes no more. What was handed to the socket goes with the socket. */
  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  /**
   * Writes it all: a message in memory at once, others with back-pressure.
   *
   * @throws what the source throws; the dot was not written then
   */
  async write(source: MessageSource): Promise<void> {
    const encoder = new DotEncoder();
    const inMemory = source.buffers();
    if (inMemory !== undefined) {
      const pieces = [encoder.encode(source.prefix)];
      const ours: Buffer[] = [];
      for (const buffer of inMemory) {
        const encoded = encoder.encode(buffer);
        if (encoded !== buffer) ours.push(encoded);
        pieces.push(encoded);
      }
      pieces.push(encoder.end());
      this.#end(pieces, ours);
      return;
    }
    this.#socket.write(encoder.encode(source.prefix));
    for await (const chunk of source.chunks()) {
      if (this.#stopped) return;
      const encoded = encoder.encode(chunk);
      if (encoded !== chunk) freeBuffer(chunk);
      const flushed = (error?: Error | null) => {
        if (!error) freeBuffer(encoded);
      };
      if (!this.#socket.write(encoded, flushed)) await this.#drained();
    }
    // An answer that is here already was given before our dot.
    await nextTurn();
    if (!this.#stopped) this.#end([encoder.end()], []);
  }

  /** @param ours those of the pieces that nobody else knows */
  #end(pieces: readonly Buffer[], ours: readonly Buffer[]): void {
    this.#state = 'ended';
    if (this.#socket instanceof TLSSocket) {
      void nextTurn().then(() => {
        this.#settled = true;
      });
    }
    const flushed = (error?: Error | null) => {
      if (error) return;
      this.#state = 'flushed';
      ours.forEach(freeBuffer);
    };
    let bytes = 0;
    for (const piece of pieces) bytes += piece.length;
    if (bytes <= ONE_WRITE_BYTES) {
      this.#socket.write(Buffer.concat(pieces, bytes), flushed);
      return;
    }
    this.#socket.cork();
    const last = pieces.length - 1;
    for (let i = 0; i < last; i += 1) this.#socket.write(pieces[i] ?? '');
    this.#socket.write(pieces[last] ?? '', flushed);
    this.#socket.uncork();
  }

  #drained(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#socket.once('drain', resolve);
    });
  }
}
