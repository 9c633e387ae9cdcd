import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { ClientLab, messageOf } from '../support/client-lab.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';

/* Row 37: thousands of clients that say next to nothing, while others send mail. */

const SOCKETS = 2000;
const CONNECTING_AT_ONCE = 100;
/** Those that hold a leg to the MX too. */
const IN_TRANSACTION = 20;
const IDLE_MS = 4000;
const TRICKLE_MS = 250;

/** How a slow client spends its time after the greeting; each writes `trickle` now and then. */
interface Slow {
  readonly client: RawClient;
  readonly trickle: string;
}

/** Sockets that this process may open; what is left over is for everything else. */
async function affordable(): Promise<number> {
  const limits = await readFile('/proc/self/limits', 'utf8');
  const files = /^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? '1024';
  return Math.min(SOCKETS, Math.floor(Number(files) * 0.8) - 100);
}

describe('slow clients, row 37', function () {
  this.timeout(90_000);
  let lab: ClientLab;
  let slow: Slow[] = [];

  before(async () => {
    lab = await ClientLab.start({ 'good.test': {}, 'held.test': {} }, ({ mxPort }) => ({
      relay: { port: mxPort, allowPrivate: true, ehloName: 'relay.example.net' },
      limits: { sessions: 2 * SOCKETS, sessionsPerClient: 2 * SOCKETS, idleMs: IDLE_MS },
    }));
  });
  after(async () => {
    for (const { client } of slow) client.close();
    await lab?.stop();
  });

  const openFiles = async () => (await readdir(`/proc/${lab.lab.waxseal.pid}/fd`)).length;

  async function connectSlow(index: number): Promise<Slow> {
    const client = await RawClient.connect(lab.lab.waxseal.port);
    await client.reply();
    if (index >= IN_TRANSACTION) {
      // Every other one says nothing at all.
      return { client, trickle: index % 2 === 0 ? '' : 'x' };
    }
    await client.command('EHLO slow.test');
    await client.command(`MAIL FROM:<${lab.sender()}>`);
    await client.command('RCPT TO:<a@held.test>');
    if (index % 2 === 0) return { client, trickle: 'N' };
    await client.command('DATA');
    return { client, trickle: 'x' };
  }

  /** Sends messages until `until` is over. @returns how many */
  async function sendMeanwhile(until: Promise<unknown>): Promise<number> {
    let isOver = false;
    void until.finally(() => {
      isOver = true;
    });
    const client = await lab.session();
    let count = 0;
    while (!isOver) {
      const sender = lab.sender();
      const heard = await lab.deliver(client, sender, 'a@good.test', messageOf('meanwhile'));
      assert.deepEqual(heard, { at: '.', reply: '250 2.0.0 queued' });
      count += 1;
    }
    client.close();
    return count;
  }

  it('end with 421 4.4.2; good mail goes through; nothing is left behind', async () => {
    const first = await lab.session();
    await lab.assertGoesOn(first, 'good.test');
    await first.command('QUIT');
    await first.untilEnded();
    await (await lab.lab.mx('good.test').session(0)).closed;
    const baseline = await openFiles();

    const count = await affordable();
    const connecting = (async () => {
      while (slow.length < count) {
        const batch = Array.from({ length: Math.min(CONNECTING_AT_ONCE, count - slow.length) });
        const from = slow.length;
        slow.push(...(await Promise.all(batch.map((_, index) => connectSlow(from + index)))));
      }
    })();
    const whileConnecting = await sendMeanwhile(connecting);
    assert.ok(whileConnecting > 0);

    const trickling = setInterval(() => {
      for (const { client, trickle } of slow) {
        if (trickle !== '' && !client.ended) client.write(trickle);
      }
    }, TRICKLE_MS);
    try {
      const ending = Promise.all(
        slow.map(async ({ client }) => {
          assert.match(await client.reply(), /^421 4\.4\.2 .*\[waxseal limits\.idle \S+\]$/);
          await client.untilEnded();
        }),
      );
      assert.ok((await sendMeanwhile(ending)) > 0);
      await ending;
    } finally {
      clearInterval(trickling);
    }
    slow = [];
    await waitFor('the file descriptors of before', async () => (await openFiles()) <= baseline);
    const held = lab.lab.mx('held.test').sessions;
    assert.equal(held.length, IN_TRANSACTION);
    await Promise.all(held.map(({ closed }) => closed));
    assert.ok(held.every(({ content }) => content.length === 0));
  });

  it('left exactly one record of each transaction', () => lab.assertOneRecordEach());
});
