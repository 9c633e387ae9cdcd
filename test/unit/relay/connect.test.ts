import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { systemClock } from '../../../src/base/clock.ts';
import { type RaceOptions, raceConnect } from '../../../src/relay/connect.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { SilentListener } from '../../support/silent-listener.ts';
import { waitFor } from '../../support/wait-for.ts';

interface Listener {
  readonly server: Server;
  readonly port: number;
  readonly accepted: Socket[];
}

describe('raceConnect', () => {
  const listeners: Listener[] = [];
  const sockets: Socket[] = [];

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    for (const { server, accepted } of listeners.splice(0)) {
      for (const socket of accepted) socket.destroy();
      server.close();
      await once(server, 'close');
    }
  });

  async function listen(address: string, port = 0): Promise<Listener> {
    const accepted: Socket[] = [];
    const server = createServer((socket) => {
      socket.on('error', () => {});
      accepted.push(socket);
    });
    server.listen(port, address);
    await once(server, 'listening');
    const listener = { server, port: (server.address() as AddressInfo).port, accepted };
    listeners.push(listener);
    return listener;
  }

  async function race(addresses: string[], port: number, options: Partial<RaceOptions> = {}) {
    const result = await raceConnect(addresses, {
      port,
      timeoutMs: 10_000,
      attemptDelayMs: 10_000,
      sourceAddress: {},
      clock: systemClock,
      ...options,
    });
    if (result.ok) sockets.push(result.socket);
    return result;
  }

  it('connects, with no listener left on the socket', async () => {
    const { port } = await listen('127.0.0.1');
    const result = await race(['127.0.0.1'], port);
    assert.ok(result.ok);
    assert.deepEqual([result.address, result.failures], ['127.0.0.1', []]);
    assert.equal(result.socket.listenerCount('connect'), 0);
    assert.equal(result.socket.listenerCount('error'), 0);
    assert.equal(result.socket.remotePort, port);
  });

  it('goes on at once when an address refuses, and says what failed', async () => {
    const { port } = await listen('127.0.0.3');
    const result = await race(['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'], port);
    assert.ok(result.ok);
    assert.equal(result.address, '127.0.0.3');
    assert.deepEqual(
      result.failures.map(({ address, code }) => [address, code]),
      [
        ['127.0.0.1', 'ECONNREFUSED'],
        ['127.0.0.2', 'ECONNREFUSED'],
      ],
    );
  });

  it('fails when every address refuses', async () => {
    const { port, server } = await listen('127.0.0.1');
    server.close();
    await once(server, 'close');
    listeners.length = 0;
    const result = await race(['127.0.0.1', '127.0.0.2'], port);
    assert.equal(result.ok, false);
    assert.deepEqual(
      result.failures.map(({ code }) => code),
      ['ECONNREFUSED', 'ECONNREFUSED'],
    );
  });

  it('fails at once without addresses', async () => {
    assert.deepEqual(await race([], 25), { ok: false, failures: [] });
  });

  it('connects from the source address of the family', async () => {
    const { port, accepted } = await listen('127.0.0.1');
    const result = await race(['127.0.0.1'], port, { sourceAddress: { ipv4: '127.0.0.9' } });
    assert.ok(result.ok);
    await waitFor('the connection', () => accepted.length === 1);
    assert.equal(accepted[0]?.remoteAddress, '127.0.0.9');
  });

  it('takes a source address that cannot be used as a failure of the address', async () => {
    const { port } = await listen('127.0.0.1');
    const foreign = await race(['127.0.0.1'], port, { sourceAddress: { ipv4: '192.0.2.1' } });
    assert.deepEqual(
      foreign.failures.map(({ code }) => code),
      ['EADDRNOTAVAIL'],
    );
    const malformed = await race(['127.0.0.1'], port, { sourceAddress: { ipv4: 'x' } });
    assert.deepEqual(
      malformed.failures.map(({ code }) => code),
      ['ERR_INVALID_IP_ADDRESS'],
    );
  });

  it('does not start when it was aborted before', async () => {
    const { port, accepted } = await listen('127.0.0.1');
    const result = await race(['127.0.0.1'], port, { signal: AbortSignal.abort() });
    assert.deepEqual(result, { ok: false, failures: [] });
    assert.equal(accepted.length, 0);
  });

  describe('with an address that does not answer', () => {
    let silent: SilentListener;

    beforeEach(async () => {
      silent = await SilentListener.open();
    });

    afterEach(() => silent.close());

    it('starts the next after the delay, and drops the loser', async () => {
      const clock = new ManualClock();
      await listen('127.0.0.2', silent.port);
      const running = race([silent.address, '127.0.0.2'], silent.port, {
        clock,
        attemptDelayMs: 250,
      });
      await waitFor('the first attempt', connecting);
      clock.advance(249);
      assert.equal(clock.waiting, 2, 'the time-out and the delay still run');
      clock.advance(1);
      assert.equal(clock.waiting, 1, 'the delay is over');
      const result = await running;
      assert.ok(result.ok);
      assert.deepEqual([result.address, result.failures], ['127.0.0.2', []]);
      assert.equal(clock.waiting, 0);
      await waitFor('the loser to be gone', () => !connecting());
    });

    it('gives up at the time-out', async () => {
      const clock = new ManualClock();
      const running = race([silent.address], silent.port, { clock, timeoutMs: 30_000 });
      await waitFor('the attempt', connecting);
      clock.advance(30_000);
      const result = await running;
      assert.equal(result.ok, false);
      assert.deepEqual(result.failures, [
        { address: silent.address, error: 'no connection within 30000 ms', code: 'ETIMEDOUT' },
      ]);
      assert.equal(clock.waiting, 0);
    });

    it('gives up when aborted', async () => {
      const clock = new ManualClock();
      const abort = new AbortController();
      const running = race([silent.address, '127.0.0.2'], silent.port, {
        clock,
        signal: abort.signal,
      });
      await waitFor('the attempt', connecting);
      abort.abort();
      const result = await running;
      assert.deepEqual(
        result.failures.map(({ code }) => code),
        ['ABORT_ERR'],
      );
      assert.equal(clock.waiting, 0);
      await waitFor('the attempt to be gone', () => !connecting());
    });
  });
});

/** True while any connection attempt of this process is under way. */
function connecting(): boolean {
  return process.getActiveResourcesInfo().includes('ConnectWrap');
}
