import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import dnsPacket from 'dns-packet';

/** The zone of the demonstration: what a name answers, by record type. */
export type DemoZone = Map<string, Partial<Record<'MX' | 'A' | 'TXT', readonly unknown[]>>>;

/** A DNS server for the names of the demonstration only, on loopback. */
export interface EmbeddedDns {
  /** `127.0.0.1:PORT`, for `dns.servers`. */
  readonly server: string;
  readonly zone: DemoZone;
  close(): void;
}

/** Starts it on a free port. A name that the zone does not have is NXDOMAIN. */
export async function startEmbeddedDns(zone: DemoZone): Promise<EmbeddedDns> {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => answer(socket, zone, message, from.port, from.address));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { server: `127.0.0.1:${socket.address().port}`, zone, close: () => socket.close() };
}

function answer(socket: Socket, zone: DemoZone, message: Buffer, port: number, to: string): void {
  const query = dnsPacket.decode(message);
  const question = query.questions?.[0];
  if (question === undefined) return;
  const entry = zone.get(question.name.toLowerCase());
  const data = entry?.[question.type as 'MX' | 'A' | 'TXT'] ?? [];
  const rcode = entry === undefined ? 3 : 0;
  const reply = dnsPacket.encode({
    type: 'response',
    id: query.id ?? 0,
    flags: dnsPacket.AUTHORITATIVE_ANSWER | rcode,
    questions: [question],
    answers: data.map((value) => ({
      name: question.name,
      type: question.type,
      ttl: 60,
      data: value,
    })) as dnsPacket.Answer[],
  });
  socket.send(reply, port, to);
}
