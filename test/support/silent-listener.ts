import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { waitFor } from './wait-for.ts';

/** Listens with the shortest backlog, tells its port, and never gets round to accepting. */
const CHILD = `
  const [host, port] = process.argv.slice(1);
  const server = require('node:net').createServer();
  server.listen({ host, port: Number(port), backlog: 1 }, () => {
    require('node:fs').writeSync(1, String(server.address().port));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;
/** The kernel queues one connection more than the backlog, then drops every SYN. */
const QUEUE = 2;

/** A loopback address that swallows connection attempts like a black hole. `close` it. */
export class SilentListener {
  readonly address: string;
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #fillers: readonly Socket[];

  private constructor(
    child: ChildProcess,
    address: string,
    port: number,
    fillers: readonly Socket[],
  ) {
    this.#child = child;
    this.address = address;
    this.port = port;
    this.#fillers = fillers;
  }

  /** @param wantedPort 0 for any free one */
  static async open(address = '127.0.0.1', wantedPort = 0): Promise<SilentListener> {
    const child = spawn(process.execPath, ['-e', CHILD, address, String(wantedPort)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [text] = await once(child.stdout, 'data');
    const port = Number(String(text));
    let queued = 0;
    const fillers = Array.from({ length: QUEUE }, () => {
      const socket = connect(port, address);
      socket.on('connect', () => {
        queued += 1;
      });
      socket.on('error', () => {});
      return socket;
    });
    const listener = new SilentListener(child, address, port, fillers);
    await waitFor('the accept queue to be full', () => queued === QUEUE);
    return listener;
  }

  async close(): Promise<void> {
    for (const socket of this.#fillers) socket.destroy();
    if (this.#child.exitCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}
