import assert from 'node:assert/strict';
import type { MxOptions, MxSession } from '../support/mx.ts';
import { MESSAGE, MxLab, said, text } from '../support/mx-lab.ts';
import { dueIn, inMemory, mailbox, type TestLeg } from '../support/mx-leg.ts';

/* Rows of the fault matrix from MAIL to the answer to DATA, each against real sockets. */

describe('faults of an MX at the envelope', () => {
  const lab = new MxLab();
  const { mxWith, legTo, rcptAt, twoMxs, inData } = lab;

  afterEach(() => lab.close());

  it('row 14: MAIL refused', async () => {
    assert.equal(text((await rcptAt({ mail: '450 4.2.0 later' })).reply), '450 4.2.0 later');
    const { leg, reply } = await rcptAt({ mail: '550 5.7.1 not this sender' });
    assert.equal(text(reply), '550 5.7.1 not this sender');
    assert.equal(await leg.rcpt(mailbox('b@example.com')), reply);
    const next = await twoMxs({ mail: '421 4.3.2 full' }, {});
    assert.equal((await next.leg.rcpt(mailbox('a@example.com'))).code, 250);
    const final = await twoMxs({ mail: '550 no' }, {});
    assert.equal(text(await final.leg.rcpt(mailbox('a@example.com'))), '550 no');
    assert.equal(final.two.sessions.length, 0);
    const drops = await twoMxs({ mail: (session) => session.reset() as undefined }, {});
    assert.equal((await drops.leg.rcpt(mailbox('a@example.com'))).code, 250);
  });

  it('rows 15 and 16: RCPT refused is final for that recipient only', async () => {
    const answers: Record<string, string> = { b: '450 4.2.1 later', c: '550 5.1.1 never' };
    const { one, two, leg } = await twoMxs(
      { rcpt: (_session, line) => answers[line.charAt(9)] ?? '250 ok' },
      {},
    );
    const asked = ['a', 'b', 'c'].map((name) => leg.rcpt(mailbox(`${name}@example.com`)));
    assert.deepEqual((await Promise.all(asked)).map(text), [
      '250 ok',
      '450 4.2.1 later',
      '550 5.1.1 never',
    ]);
    assert.equal((await leg.data()).code, 354);
    assert.equal((await leg.send(inMemory(MESSAGE), dueIn())).reply.code, 250);
    assert.equal(one.contents.length, 1);
    assert.equal(two.sessions.length, 0);
  });

  it('row 15: 421 to RCPT ends the connection for the others, too', async () => {
    const rcpt = (_session: MxSession, line: string) =>
      line.includes('<b@') ? '421 4.3.2 bye' : '250 ok';
    const mx = await mxWith({ rcpt });
    const leg = legTo(mx);
    const asked = ['a', 'b', 'c'].map((name) => leg.rcpt(mailbox(`${name}@example.com`)));
    const replies = (await Promise.all(asked)).map(text);
    assert.equal(replies[0], '250 ok');
    assert.equal(replies[1], '421 4.3.2 bye');
    assert.match(replies[2] ?? '', /^(451 4\.4\.2 |250 ok)/);
  });

  it('RCPT without an answer in time', async () => {
    const test = { options: { rcptBudgetMs: 50 } };
    const { leg, reply } = await rcptAt({ rcpt: () => undefined }, test);
    assert.match(text(reply), /^451 4\.4\.2 \[relay\.timeout\] .*no answer to RCPT in time/);
    // The MX may say 250 to that recipient yet: its connection must not get the message.
    assert.equal((await leg.data()).code, 451);
  });

  it('row 18: a connection lost before the content is set up again, once', async () => {
    for (const how of ['drop', 'reset', '421'] as const) {
      const { mx, leg, session } = await inData({});
      if (how === '421') session.write('421 4.4.2 idle for too long\r\n');
      // The relay closes its end when it has seen the 421.
      else session[how]();
      await session.closed;
      const result = await leg.send(inMemory(MESSAGE), dueIn());
      assert.equal(said(result), 'answered 250 2.0.0 queued');
      assert.equal(mx.contents.length, 1);
      assert.equal(mx.sessions.length, 2);
    }
  });

  it('row 18: lost before DATA, lost twice, and changed answers', async () => {
    const { mx, leg } = await rcptAt({});
    const session = await mx.session(0);
    session.drop();
    await session.closed;
    assert.equal((await leg.data()).code, 354);
    const second = await mx.session(1);
    second.reset();
    await second.closed;
    const result = await leg.send(inMemory(MESSAGE), dueIn());
    assert.match(said(result), /^not-sent 451 4\.4\.2 /);
    assert.equal(mx.contents.length, 0);

    const changed = await inData({});
    changed.mx.script = { rcpt: '550 5.1.1 gone' };
    changed.session.reset();
    await changed.session.closed;
    const other = await changed.leg.send(inMemory(MESSAGE), dueIn());
    assert.match(said(other), /^not-sent 451 4\.4\.2 .*550 5\.1\.1 gone/);
    assert.equal(changed.mx.contents.length, 0);
  });

  it('row 23: DATA refused, or answered with what is no answer', async () => {
    const expected: [string, RegExp][] = [
      ['451 4.3.0 later', /^451 4\.3\.0 later$/],
      ['554 5.7.1 no', /^554 5\.7\.1 no$/],
      ['250 ok', /^451 4\.5\.0 \[relay\.protocol\] .*answered DATA with 250/],
      ['355 ok', /^451 4\.5\.0 /],
      ['hello', /^451 4\.5\.0 /],
      ['354 go\r\n250 queued\r\n', /^451 4\.5\.0 /],
      ['354 go\r\n554 no\r\n250 queued\r\n', /^451 4\.5\.0 /],
    ];
    for (const [data, reply] of expected) {
      const { mx, leg } = await rcptAt({ data });
      assert.match(text(await leg.data()), reply, data);
      assert.equal((await leg.send(inMemory(MESSAGE), dueIn())).kind, 'not-sent');
      assert.deepEqual(mx.contents, []);
    }
  });

  it('row 34: nor one to RCPT that began before it', async () => {
    const answers = ['250 ok\r\n25', '0 ok\r\n'];
    const { leg, reply } = await rcptAt({ rcpt: () => Buffer.from(answers.shift() ?? '') });
    assert.equal(text(reply), '250 ok');
    assert.match(text(await leg.rcpt(mailbox('b@example.com'))), /^451 4\.5\.0 /);
    assert.match(text(await leg.data()), /^451 4\.5\.0 /);
  });

  it('row 34: nor a 2xx to RCPT that was sent ahead', async () => {
    const { reply } = await rcptAt({
      mail: '250 sender ok\r\n250 recipient ok\r\n250 and more\r\n',
    });
    assert.equal(reply.code, 451);
  });

  it('row 44: what the message needs and the MX lacks', async () => {
    const none = { extensions: [] };
    const lacks: [Partial<TestLeg>, MxOptions, RegExp][] = [
      [{ mail: { body: '8BITMIME' } }, none, /^550 5\.6\.3 \[relay\.8bitmime\]/],
      [{ mail: { smtpUtf8: true } }, none, /^550 5\.6\.7 \[relay\.smtputf8\]/],
      [
        { mail: { sizeBytes: 900 }, extraBytes: 101 },
        { extensions: ['SIZE 1000'] },
        /^552 5\.3\.4 \[relay\.size\]/,
      ],
    ];
    for (const [test, options, expected] of lacks) {
      const { mx, reply } = await rcptAt({}, test, options);
      assert.match(text(reply), expected);
      const session = await mx.session(0);
      await session.closed;
      assert.ok(!session.commands.some((line) => line.startsWith('MAIL')));
    }
    const fits = await rcptAt(
      {},
      { mail: { sizeBytes: 900 }, extraBytes: 100 },
      { extensions: ['SIZE 1000'] },
    );
    assert.equal(fits.reply.code, 250);
    const unlimited = await rcptAt({}, { mail: { sizeBytes: 900 } }, { extensions: ['SIZE 0'] });
    assert.equal(unlimited.reply.code, 250);
  });
});
