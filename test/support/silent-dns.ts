import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** Something that takes DNS questions over UDP and never answers. */
export interface SilentDns {
  readonly port: number;
  /** Resolves at the first question. */
  readonly asked: Promise<unknown>;
  /** Questions so far. */
  readonly count: number;
  close(): Promise<void>;
}

export async function startSilentDns(port = 0, address = '127.0.0.1'): Promise<SilentDns> {
  const socket = createSocket('udp4');
  const asked = once(socket, 'message');
  let count = 0;
  socket.on('message', () => {
    count += 1;
  });
  socket.bind(port, address);
  await once(socket, 'listening');
  return {
    port: socket.address().port,
    asked,
    get count() {
      return count;
    },
    close: async () => {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    },
  };
}
