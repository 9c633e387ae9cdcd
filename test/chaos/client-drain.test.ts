import assert from 'node:assert/strict';
import { ClientLab, messageOf } from '../support/client-lab.ts';
import type { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';

/*
 * Row 45: SIGTERM finds one session in each state of the protocol. What runs finishes with the MX's
 * own answer; what does not run hears 421 at its next command; nothing is dropped.
 */

const CONTENT = messageOf('drained').toString();
const HALF = CONTENT.length / 2;

/** One session: what it did before the signal, and how it goes on to the answer to its dot. */
interface Busy {
  readonly state: string;
  readonly before: (client: RawClient, sender: string) => Promise<unknown>;
  readonly after: (client: RawClient, sender: string) => Promise<unknown>;
}

const mail = (client: RawClient, sender: string) => client.command(`MAIL FROM:<${sender}>`);
const rcpt = (client: RawClient) => client.command('RCPT TO:<a@good.test>');
const data = (client: RawClient) => client.command('DATA');
const write = async (client: RawClient, text: string) => client.write(text);

async function expect(answer: Promise<string>, expected: RegExp): Promise<void> {
  assert.match(await answer, expected);
}

const BUSY: readonly Busy[] = [
  {
    state: 'MAIL was answered',
    before: mail,
    after: async (client) => {
      await expect(rcpt(client), /^250 /);
      await expect(data(client), /^354 /);
      await write(client, `${CONTENT}.\r\n`);
    },
  },
  {
    state: 'a recipient was refused',
    before: async (client, sender) => {
      await mail(client, sender);
      await expect(client.command('RCPT TO:<a@refusing.test>'), /^550 /);
    },
    after: async (client) => {
      await expect(rcpt(client), /^250 /);
      await expect(data(client), /^354 /);
      await write(client, `${CONTENT}.\r\n`);
    },
  },
  {
    state: 'RCPT was answered',
    before: async (client, sender) => {
      await mail(client, sender);
      await rcpt(client);
    },
    after: async (client) => {
      await expect(rcpt(client), /^250 /);
      await expect(data(client), /^354 /);
      await write(client, `${CONTENT}.\r\n`);
    },
  },
  {
    state: 'DATA was answered',
    before: async (client, sender) => {
      await mail(client, sender);
      await rcpt(client);
      await data(client);
    },
    after: (client) => write(client, `${CONTENT}.\r\n`),
  },
  {
    state: 'half of the content was sent',
    before: async (client, sender) => {
      await mail(client, sender);
      await rcpt(client);
      await data(client);
      await write(client, CONTENT.slice(0, HALF));
    },
    after: (client) => write(client, `${CONTENT.slice(HALF)}.\r\n`),
  },
  {
    state: 'half of the end of data was sent',
    before: async (client, sender) => {
      await mail(client, sender);
      await rcpt(client);
      await data(client);
      await write(client, `${CONTENT}.\r`);
    },
    after: (client) => write(client, '\n'),
  },
];

describe('SIGTERM, row 45', function () {
  this.timeout(60_000);
  let lab: ClientLab;
  let drained = 0;
  const gate = Promise.withResolvers<void>();

  before(async () => {
    const held = (reply: string) => async () => {
      await gate.promise;
      return reply;
    };
    lab = await ClientLab.start({
      'good.test': {},
      'refusing.test': { script: { rcpt: '550 5.1.1 no' } },
      'slow-rcpt.test': { script: { rcpt: held('250 2.1.5 at last') } },
      'slow-data.test': { script: { data: held('354 at last') } },
      'slow-dot.test': { script: { dot: held('250 2.0.0 at last') } },
      'sad-dot.test': { script: { dot: held('554 5.7.1 no, at last') } },
    });
  });
  after(() => lab?.stop());

  it('finds sessions in each state: what runs finishes, the rest hears 421', async () => {
    const { waxseal } = lab.lab;
    const to = (name: string) => `a@${name}.test`;

    // Sessions without a transaction.
    const greeted = await lab.session();
    const halfACommand = await lab.session();
    halfACommand.write(`MAIL FROM:<${'x'.repeat(20)}`);
    const done = await lab.session();
    await lab.assertGoesOn(done, 'good.test');
    const reset = await lab.session();
    const resetSender = lab.sender();
    await mail(reset, resetSender);
    await reset.command('RSET');
    const leaving = await lab.session();

    // Sessions whose client has the next word.
    const busy = await Promise.all(
      BUSY.map(async (row) => {
        const client = await lab.session();
        const sender = lab.sender();
        await row.before(client, sender);
        return { ...row, client, sender };
      }),
    );

    // Sessions that wait for an MX.
    const waitsAt = async (name: string, octets: string) => {
      const client = await lab.session();
      const sender = lab.sender();
      await mail(client, sender);
      client.write(`RCPT TO:<${to(name)}>\r\n`);
      if (octets !== '') {
        await client.reply();
        client.write(octets);
      }
      return { client, sender };
    };
    const atRcpt = await waitsAt('slow-rcpt', '');
    const atData = await waitsAt('slow-data', 'DATA\r\n');
    const atDot = await waitsAt('slow-dot', '');
    const atSadDot = await waitsAt('sad-dot', '');
    for (const { client } of [atDot, atSadDot]) {
      await client.reply();
      await data(client);
      client.write(`${CONTENT}.\r\n`);
    }
    const session = (name: string) => lab.lab.mx(`${name}.test`).session(0);
    await (await session('slow-rcpt')).received('RCPT');
    await (await session('slow-data')).received('DATA');
    for (const name of ['slow-dot', 'sad-dot']) {
      const one = await session(name);
      await one.until(() => one.contents.length === 1);
    }

    waxseal.signal('SIGTERM');
    await waitFor('the drain', () => waxseal.records.some(({ event }) => event === 'draining'));
    await assert.rejects(lab.session(), { code: 'ECONNREFUSED' });

    assert.match(await leaving.command('QUIT'), /^221 /);
    const shutDown = /^421 4\.3\.2 .*\[waxseal session\.draining \S+\]$/;
    for (const client of [greeted, done, reset]) {
      assert.match(await client.command('NOOP'), shutDown);
      await client.untilEnded();
    }
    assert.match(await halfACommand.command('@signer.test>'), shutDown);
    await halfACommand.untilEnded();

    for (const { state, client, sender, after: goOn } of busy) {
      await goOn(client, sender);
      assert.equal(await client.reply(), '250 2.0.0 queued', state);
      assert.equal((await lab.record(sender)).outcome, 'accepted', state);
      drained += 1;
      assert.match(await client.command(`MAIL FROM:<x@signer.test>`), shutDown, state);
      await client.untilEnded();
    }

    gate.resolve();
    assert.equal(await atRcpt.client.reply(), '250 2.1.5 at last');
    await expect(data(atRcpt.client), /^354 /);
    await expect(atData.client.reply(), /^354 /);
    for (const { client } of [atRcpt, atData]) {
      client.write(`${CONTENT}.\r\n`);
      assert.equal(await client.reply(), '250 2.0.0 queued');
    }
    assert.equal(await atDot.client.reply(), '250 2.0.0 at last');
    assert.equal(await atSadDot.client.reply(), '554 5.7.1 no, at last');
    assert.equal((await lab.record(atSadDot.sender)).outcome, 'rejected');
    for (const { client } of [atRcpt, atData, atDot, atSadDot]) {
      assert.match(await client.command('NOOP'), shutDown);
      await client.untilEnded();
    }
    assert.equal(await waxseal.untilEnded(), 0);
  });

  it('delivered each once', () => {
    assert.equal(drained, BUSY.length);
    // One more went before the signal.
    assert.equal(lab.lab.mx('good.test').contents.length, drained + 1);
    for (const name of ['slow-rcpt', 'slow-data', 'slow-dot', 'sad-dot']) {
      assert.equal(lab.lab.mx(`${name}.test`).contents.length, 1, name);
    }
  });

  it('left exactly one record of each transaction', () => lab.assertOneRecordEach());
});
