import assert from 'node:assert/strict';
import { nextTurn } from '../../src/relay/smtp-client-content.ts';
import { ManualClock } from '../support/manual-clock.ts';
import type { MxSession } from '../support/mx.ts';
import { testCertificate } from '../support/mx-certificate.ts';
import {
  endless,
  goAheadAndPause,
  MEGABYTE,
  MESSAGE,
  MxLab,
  said,
  text,
} from '../support/mx-lab.ts';
import { dueIn, inMemory, inPieces, type TestLeg } from '../support/mx-leg.ts';

/* Rows of the fault matrix while content is on its way, each against real sockets. */

const CERTIFICATE = testCertificate('mx.test');

describe('faults of an MX while content is sent', () => {
  const lab = new MxLab();
  const { inData } = lab;

  afterEach(() => lab.close());

  it('row 24: reset in the middle of the content', async () => {
    for (const bytes of [1, 5_000_000]) {
      const content = (session: MxSession) => {
        if (session.content.length >= bytes) session.reset();
      };
      const { mx, leg } = await inData({ content });
      const result = await leg.send(inPieces(endless), dueIn());
      assert.match(said(result), /^not-sent 451 4\.4\.2 \[relay\.connection-lost\]/);
      assert.deepEqual(mx.contents, []);
      assert.equal(mx.sessions.length, 1);
    }
  });

  it('row 25: a refusal in the middle of the content stops it', async () => {
    for (const refusal of ['552 5.3.4 too MEGABYTE', '421 4.3.2 going down']) {
      let spoken = false;
      const content = (session: MxSession) => {
        if (!spoken) session.write(`${refusal}\r\n`);
        spoken = true;
      };
      const { mx, leg } = await inData({ content });
      const result = await leg.send(inPieces(endless), dueIn());
      assert.equal(said(result), `answered ${refusal}`);
      assert.deepEqual(mx.contents, []);
    }
  });

  it('row 25: a refusal before the content', async () => {
    const { mx, leg, session } = await inData({});
    session.write('554 5.7.1 not this client\r\n');
    await nextTurn();
    const result = await leg.send(inMemory(MESSAGE), dueIn());
    assert.equal(text(result.reply), '554 5.7.1 not this client');
    assert.ok(mx.contents.length <= 1);
  });

  it('row 26: an MX that reads nothing', async () => {
    for (const source of [inPieces(endless), inMemory(Buffer.concat(Array(20).fill(MEGABYTE)))]) {
      const { leg, session } = await inData({ data: goAheadAndPause });
      const result = await leg.send(source, dueIn(200));
      assert.match(said(result), /^not-sent 451 4\.4\.2 \[relay\.timeout\]/);
      session.resume();
      await session.closed;
      assert.deepEqual(session.contents, []);
    }
  });

  it('row 34: nor one while most of a message in memory waits to be written', async () => {
    const { leg, session } = await inData({ data: goAheadAndPause });
    const asked = leg.send(inMemory(Buffer.concat(Array(20).fill(MEGABYTE))), dueIn());
    await nextTurn();
    session.write('250 2.0.0 queued\r\n');
    const result = await asked;
    assert.match(said(result), /^not-sent 451 4\.5\.0 /);
  });

  // Through TLS the last octets wait in Node, and leave it when the MX reads on.
  for (const [name, options] of [
    ['TCP', {}],
    ['TLS', { tls: CERTIFICATE }],
  ] as const) {
    const large = Buffer.concat(Array(20).fill(MEGABYTE));

    /** Stands in DATA at an MX that reads on when told to. */
    async function stalled(test: Partial<TestLeg> = {}) {
      const script = { data: goAheadAndPause, dot: '250 2.0.0 queued' };
      return inData(script, test, options);
    }

    /** What the MX gets once it reads on: no dot, and nothing behind it. */
    async function assertCutShort(session: MxSession) {
      session.resume();
      await session.closed;
      assert.equal(session.contents.length, 0);
      assert.ok(session.commands.at(-1) === 'DATA');
      assert.ok(session.content.length < large.length);
    }

    it(`row 25: an early refusal stops a message in memory, ${name}`, async () => {
      for (const refusal of ['552 5.3.4 too big', '421 4.3.2 going down']) {
        const { leg, session } = await stalled();
        const asked = leg.send(inMemory(large), dueIn());
        await nextTurn();
        session.write(`${refusal}\r\n`);
        assert.equal(said(await asked), `answered ${refusal}`);
        leg.finish();
        await assertCutShort(session);
      }
    });

    it(`row 26: no dot leaves behind the budget, ${name}`, async () => {
      const clock = new ManualClock();
      const late: string[] = [];
      const test = { dependencies: { clock }, options: { lateReplyMs: 60_000 } };
      const { leg, session } = await stalled(test);
      leg.onLateReply((reply) => late.push(text(reply)));
      const asked = leg.send(inMemory(large), dueIn(1000, clock));
      await nextTurn();
      clock.advance(1000);
      assert.match(said(await asked), /^not-sent 451 4\.4\.2 \[relay\.timeout\]/);
      await assertCutShort(session);
      assert.deepEqual(late, []);
      assert.equal(clock.waiting, 0);
    });

    it(`no dot leaves when the client is gone, ${name}`, async () => {
      const { leg, session } = await stalled();
      const asked = leg.send(inMemory(large), dueIn());
      await nextTurn();
      leg.abort();
      assert.match(said(await asked), /^not-sent 451 4\.4\.2 /);
      await assertCutShort(session);
    });

    it(`a dot that left is waited for when the client is gone, ${name}`, async () => {
      const { leg, session } = await stalled();
      const asked = leg.send(inMemory(MESSAGE), dueIn());
      await nextTurn();
      leg.abort();
      session.resume();
      assert.equal(said(await asked), 'answered 250 2.0.0 queued');
      assert.equal(session.contents.length, 1);
    });

    it(`a dot that left at the last moment is in doubt, ${name}`, async () => {
      const clock = new ManualClock();
      const test = { dependencies: { clock }, options: { lateReplyMs: 60_000 } };
      const { leg, session } = await stalled(test);
      const asked = leg.send(inMemory(MESSAGE), dueIn(1000, clock));
      // The turn in which it writes, and not one more.
      await nextTurn();
      clock.advance(1000);
      assert.match(said(await asked), /^in-doubt 451 4\.4\.2 /);
      session.resume();
      await session.closed;
      assert.equal(session.contents.length, 1);
    });

    it(`a connection lost long before the dot could leave leaves no doubt, ${name}`, async () => {
      const { leg, session } = await stalled();
      const asked = leg.send(inMemory(large), dueIn());
      for (let turns = 0; turns < 3; turns += 1) await nextTurn();
      session.reset();
      assert.match(said(await asked), /^not-sent 451 4\.4\.2 /);
    });
  }

  it('sends nothing when the time for the answer is over already', async () => {
    const { leg, session } = await inData({});
    const result = await leg.send(inMemory(MESSAGE), dueIn(-1));
    assert.match(said(result), /^not-sent 451 4\.4\.2 \[relay\.timeout\]/);
    await session.closed;
    assert.equal(session.content.length, 0);
  });
});
