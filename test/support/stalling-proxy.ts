import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

/** The request at which a connection stalls. */
export interface StallPoint {
  /** Is it such a request? Asked of each piece that a client sends; small requests are one piece. */
  readonly isSuch: (octets: Buffer) => boolean;
  /** The how many-th of them, from 1. */
  readonly nth: number;
  /** `before`: the server never gets it. `after`: it does, and the client never hears the answer. */
  readonly when: 'before' | 'after';
}

export interface StallingProxy {
  readonly port: number;
  /** How many such requests there were. */
  readonly seen: number;
  /** Cuts all connections; new ones are served. */
  cut(): void;
  close(): Promise<void>;
}

/** Forwards TCP to a server of 127.0.0.1 until one request; from there on it says nothing any more. */
export async function stallingProxy(
  toPort: number,
  point: StallPoint,
  onStall: () => void,
): Promise<StallingProxy> {
  const sockets = new Set<Socket>();
  let seen = 0;
  const server = createServer((client) => {
    const upstream = connect(toPort, '127.0.0.1');
    let stalls: StallPoint['when'] | undefined;
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    client.on('data', (octets) => {
      if (stalls === 'before') return;
      if (point.isSuch(octets)) {
        seen += 1;
        if (seen === point.nth) stalls = point.when;
      }
      if (stalls === 'before') onStall();
      else upstream.write(octets);
    });
    upstream.on('data', (octets) => {
      if (stalls === undefined) client.write(octets);
      else onStall();
    });
  });
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get seen() {
      return seen;
    },
    cut,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}
