import assert from 'node:assert/strict';
import type { Reply } from '../../../src/mail/reply.ts';
import { KeptConnection } from '../../../src/relay/kept-connection.ts';
import type { Leg } from '../../../src/relay/leg.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { type FakeMx, type MxScript, startMx } from '../../support/mx.ts';
import { dueIn, inMemory, mailbox, type TestLeg, testLeg } from '../../support/mx-leg.ts';

const IDLE_MS = 2000;
const A = mailbox('a@example.com');

/** The connection that a session keeps from one transaction to the next, seen through its legs. */
describe('KeptConnection', () => {
  let mx: FakeMx;
  let clock: ManualClock;
  let kept: KeptConnection;
  let legs: Leg[];

  beforeEach(async () => {
    mx = await startMx();
    clock = new ManualClock();
    kept = new KeptConnection(clock, IDLE_MS);
    legs = [];
  });

  afterEach(async () => {
    for (const leg of legs) leg.abort();
    kept.close();
    await mx.close();
  });

  function nextLeg(test: Partial<TestLeg> = {}): Leg {
    const leg = testLeg({ port: mx.port, kept, dependencies: { clock }, ...test });
    legs.push(leg);
    return leg;
  }

  /** A whole transaction. */
  async function deliver(leg = nextLeg()): Promise<Reply> {
    const rcpt = await leg.rcpt(A);
    if (rcpt.code >= 300) return rcpt;
    const data = await leg.data();
    if (data.code !== 354) return data;
    const { reply } = await leg.send(inMemory('Subject: x\r\n\r\n'), dueIn(10_000, clock));
    leg.finish();
    return reply;
  }

  function script(changed: MxScript): void {
    mx.script = { ...mx.script, ...changed };
  }

  it('serves the next transaction to the same destination, and the log is told', async () => {
    const first = nextLeg();
    assert.equal((await deliver(first)).code, 250);
    const second = nextLeg();
    assert.equal((await deliver(second)).code, 250);
    assert.equal(mx.sessions.length, 1);
    assert.equal(mx.contents.length, 2);
    assert.deepEqual(
      mx.sessions[0]?.commands.map((line) => line.split(' ')[0]),
      ['EHLO', 'MAIL', 'RCPT', 'DATA', 'MAIL', 'RCPT', 'DATA'],
    );
    assert.equal(first.facts?.reused, false);
    assert.equal(second.facts?.reused, true);
  });

  it('is kept behind a refused dot, too: the transaction is over there as well', async () => {
    script({ dot: '554 5.7.1 no spam' });
    assert.equal((await deliver()).code, 554);
    script({ dot: '250 ok' });
    assert.equal((await deliver()).code, 250);
    assert.equal(mx.sessions.length, 1);
  });

  it('is left with QUIT for another destination', async () => {
    await deliver();
    await deliver(nextLeg({ destination: { key: 'mx:example.net', domain: 'example.net' } }));
    const first = await mx.session(0);
    await first.closed;
    assert.equal(first.commands.at(-1), 'QUIT');
    assert.equal(mx.sessions.length, 2);
  });

  it('is not used when the MX closed it meanwhile', async () => {
    await deliver();
    const first = await mx.session(0);
    first.drop();
    await first.closed;
    assert.equal((await deliver()).code, 250);
    assert.equal(mx.sessions.length, 2);
    assert.equal(mx.contents.length, 2);
  });

  it('is not used when the MX said something meanwhile that nobody asked for', async () => {
    await deliver();
    const first = await mx.session(0);
    first.write('250 2.0.0 and one more\r\n');
    await first.closed;
    assert.equal((await deliver()).code, 250);
    assert.equal(mx.sessions.length, 2);
  });

  for (const refusal of [
    '421 4.7.0 enough',
    '451 4.7.1 enough',
    '550 5.7.1 enough',
    '503 5.5.1 no',
  ]) {
    it(`gives way to a new connection when MAIL gets "${refusal}" on it`, async () => {
      await deliver();
      script({ mail: (session) => (session === mx.sessions[0] ? refusal : '250 ok') });
      assert.equal((await deliver()).code, 250);
      assert.equal(mx.sessions.length, 2);
      assert.equal(mx.contents.length, 2);
    });
  }

  it('gives way when the MX closes it at MAIL, with the RCPT on its way', async () => {
    await deliver();
    script({
      mail: (session) => {
        if (session === mx.sessions[0]) session.reset();
        return '250 ok';
      },
    });
    const leg = nextLeg();
    assert.equal((await deliver(leg)).code, 250);
    assert.equal(leg.facts?.reused, false);
    assert.equal(mx.contents.length, 2);
  });

  it('leaves the last word on MAIL to the new connection', async () => {
    await deliver();
    script({ mail: '550 5.7.1 not you' });
    const reply = await deliver();
    assert.deepEqual([reply.code, reply.lines], [550, ['5.7.1 not you']]);
    assert.equal(mx.sessions.length, 2);
  });

  it('is rebuilt like any other when it is lost at DATA', async () => {
    await deliver();
    script({
      data: (session) => {
        if (session === mx.sessions[0]) session.reset();
        return '354 go ahead';
      },
    });
    assert.equal((await deliver()).code, 250);
    assert.equal(mx.sessions.length, 2);
    assert.equal(mx.contents.length, 2);
  });

  it('is left after its idle time, counted from its last use', async () => {
    await deliver();
    clock.advance(IDLE_MS - 1);
    await deliver();
    clock.advance(IDLE_MS - 1);
    const first = await mx.session(0);
    assert.ok(!first.commands.includes('QUIT'));
    clock.advance(1);
    await first.closed;
    assert.equal(first.commands.at(-1), 'QUIT');
    assert.equal((await deliver()).code, 250);
    assert.equal(mx.sessions.length, 2);
  });

  it('is left after five minutes, however busy it is', async () => {
    for (let sentMs = 0; sentMs < 300_000; sentMs += IDLE_MS - 1) {
      await deliver();
      clock.advance(IDLE_MS - 1);
    }
    assert.equal(mx.sessions.length, 1);
    await deliver();
    const first = await mx.session(0);
    await first.closed;
    await deliver();
    assert.equal(mx.sessions.length, 2);
  });

  it('ends with the session, at once or when its last transaction does', async () => {
    await deliver();
    kept.close();
    const first = await mx.session(0);
    await first.closed;
    assert.equal(first.commands.at(-1), 'QUIT');
    await deliver();
    const second = await mx.session(1);
    await second.closed;
    assert.equal(second.commands.at(-1), 'QUIT');
  });

  it('is not kept at all with an idle time of 0', async () => {
    kept = new KeptConnection(clock, 0);
    await deliver();
    const first = await mx.session(0);
    await first.closed;
    assert.equal(first.commands.at(-1), 'QUIT');
  });

  it('is dropped when the transaction is given up while MAIL waits on it', async () => {
    await deliver();
    script({ mail: () => new Promise<undefined>(() => undefined) });
    const leg = nextLeg();
    const asked = leg.rcpt(A);
    const first = await mx.session(0);
    await first.until(() => first.commands.filter((line) => line.startsWith('MAIL')).length === 2);
    leg.abort();
    assert.equal((await asked).code, 451);
    await first.closed;
  });
});
