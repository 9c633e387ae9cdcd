import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** Something that takes DNS questions over UDP and never answers. */
export interface SilentDns {
  readonly port: number;
  /** Resolves at the first question. */
  readonly asked: Promise<unknown>;
  close(): Promise<void>;
}

export async function startSilentDns(): Promise<SilentDns> {
  const socket = createSocket('udp4');
  const asked = once(socket, 'message');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    port: socket.address().port,
    asked,
    close: async () => {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    },
  };
}
