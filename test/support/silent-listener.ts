import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { waitFor } from './wait-for.ts';

/** Listens with the shortest backlog, tells its port, and never gets round to accepting. */
const CHILD = `
  const server = require('node:net').createServer();
  server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
    require('node:fs').writeSync(1, String(server.address().port));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;
/** The kernel queues one connection more than the backlog, then drops every SYN. */
const QUEUE = 2;

/** A loopback address that swallows connection attempts like a black hole. `close` it. */
export class SilentListener {
  readonly address = '127.0.0.1';
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #fillers: readonly Socket[];

  private constructor(child: ChildProcess, port: number, fillers: readonly Socket[]) {
    this.#child = child;
    this.port = port;
    this.#fillers = fillers;
  }

  static async open(): Promise<SilentListener> {
    const child = spawn(process.execPath, ['-e', CHILD], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [text] = await once(child.stdout, 'data');
    const port = Number(String(text));
    let queued = 0;
    const fillers = Array.from({ length: QUEUE }, () => {
      const socket = connect(port, '127.0.0.1');
      socket.on('connect', () => {
        queued += 1;
      });
      socket.on('error', () => {});
      return socket;
    });
    const listener = new SilentListener(child, port, fillers);
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
