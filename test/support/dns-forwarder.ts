import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface DnsForwarder {
  close(): Promise<void>;
}

export interface DnsForwarderOptions {
  /** Connections over TCP are closed at once. */
  readonly withoutTcp?: boolean;
  /** Answers over UDP lose their AA bit, as those of a server that has them from a cache. */
  readonly withoutAuthority?: boolean;
}

/**
 * Lets a DNS server be reached under another loopback address, UDP and TCP: BIND listens only on
 * addresses that an interface has, and of 127/8 that is 127.0.0.1 alone.
 *
 * @throws Error `EADDRINUSE` when somebody has the port at that address
 */
export async function forwardDns(
  at: { readonly address: string; readonly port: number },
  toPort: number,
  options: DnsForwarderOptions = {},
): Promise<DnsForwarder> {
  const udp = createSocket('udp4');
  const clients = new Map<string, UdpSocket>();
  const sockets = new Set<Socket>();
  udp.on('message', (octets, from) => {
    const key = `${from.address} ${from.port}`;
    let client = clients.get(key);
    if (client === undefined) {
      client = createSocket('udp4');
      client.on('message', (reply) => {
        if (options.withoutAuthority === true) reply.writeUInt8(reply.readUInt8(2) & ~0x04, 2);
        udp.send(reply, from.port, from.address);
      });
      client.on('error', () => {}); // nobody there: silence
      clients.set(key, client);
    }
    client.send(octets, toPort, '127.0.0.1');
  });
  const tcp = createServer((incoming) => {
    if (options.withoutTcp === true) {
      incoming.destroy();
      return;
    }
    const outgoing = connect(toPort, '127.0.0.1');
    for (const [one, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    const closings = [...clients.values(), udp, tcp].map((one) => {
      const closed = once(one, 'close');
      one.close();
      return closed;
    });
    await Promise.all(closings);
  };
  udp.bind(at.port, at.address);
  await once(udp, 'listening');
  try {
    tcp.listen(at.port, at.address);
    await once(tcp, 'listening');
  } catch (error) {
    udp.close();
    throw error;
  }
  return { close };
}
