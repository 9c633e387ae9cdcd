import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { DotResult } from '../../src/relay/leg.ts';
import { nextTurn } from '../../src/relay/smtp-client-content.ts';
import { ManualClock } from '../support/manual-clock.ts';
import type { MxSession } from '../support/mx.ts';
import { endless, MESSAGE, MxLab, said, text, trickle } from '../support/mx-lab.ts';
import { dueIn, inMemory, inPieces } from '../support/mx-leg.ts';

/*
 * Rows of the fault matrix about the answer to the dot: what is a 2xx, and what never is. Each
 * against real sockets.
 */

describe('faults of an MX at the final dot', () => {
  const lab = new MxLab();
  const { rcptAt, inData, dotAt } = lab;

  afterEach(() => lab.close());

  it('row 27: the dot refused', async () => {
    for (const dot of [
      '452 4.2.2 mailbox full',
      '550-5.7.1 spam\r\n550 5.7.1 https://example.com/',
    ]) {
      const result = await dotAt({ dot });
      assert.equal(result.kind, 'answered');
      assert.equal(result.reply.code, Number(dot.slice(0, 3)));
      assert.equal(result.reply.origin, 'remote');
      assert.equal(result.reply.lines.length, dot.split('\r\n').length);
    }
  });

  it('row 28: an answer behind the budget is for the log only', async () => {
    const clock = new ManualClock();
    const test = {
      dependencies: { clock },
      options: { lateReplyMs: 60_000 },
    };
    const { leg, session } = await inData({ dot: () => undefined }, test);
    const late: string[] = [];
    leg.onLateReply((reply, afterMs) => late.push(`${text(reply)} after ${afterMs}`));
    const asked = leg.send(inMemory(MESSAGE), dueIn(570_000, clock));
    await session.until(() => session.contents.length === 1);
    clock.advance(570_000);
    const result = await asked;
    assert.match(said(result), /^in-doubt 451 4\.4\.2 \[relay\.in-doubt\]/);
    leg.finish();
    clock.advance(5000);
    session.write('250 2.0.0 queued after all\r\n');
    await session.closed;
    assert.deepEqual(late, ['250 2.0.0 queued after all after 575000']);
  });

  it('row 28: listening for a late answer ends, too', async () => {
    const clock = new ManualClock();
    const test = {
      dependencies: { clock },
      options: { lateReplyMs: 1000 },
    };
    const { leg, session } = await inData({ dot: () => undefined }, test);
    const asked = leg.send(inMemory(MESSAGE), dueIn(1000, clock));
    await session.until(() => session.contents.length === 1);
    clock.advance(1000);
    assert.equal((await asked).kind, 'in-doubt');
    clock.advance(1000);
    await session.closed;
    assert.equal(clock.waiting, 0);
  });

  it('row 29: the connection is lost behind the dot', async () => {
    for (const how of ['drop', 'reset'] as const) {
      const dot = (session: MxSession) => session[how]() as undefined;
      const result = await dotAt({ dot });
      assert.match(said(result), /^in-doubt 451 4\.4\.2 \[relay\.in-doubt\]/);
    }
  });

  it('row 30: 421 behind the dot is its answer', async () => {
    const result = await dotAt({ dot: '421 4.3.2 going down' });
    assert.equal(said(result), 'answered 421 4.3.2 going down');
  });

  const malformed: Record<string, string> = {
    'row 31: endless lines': '250-x\r\n'.repeat(100),
    'row 31: an endless line': `250 ${'x'.repeat(100_000)}`,
    'row 32: a bare LF': '250 ok\nMAIL FROM:<x@y>\r\n',
    'row 32: a bare CR': '250 ok\rfoo\r\n',
    'row 32: NUL': '250 o\0k\r\n',
    'row 33: mixed codes': '250-ok\r\n550 no\r\n',
    'row 33: a short code': '25\r\n',
    'row 33: a code that does not exist': '999 ok\r\n',
    'row 33: nothing': '\r\n',
    'row 33: no reply at all': 'ok\r\n',
    'row 33: 354 to anything but DATA': '354 go\r\n',
  };
  for (const [name, octets] of Object.entries(malformed)) {
    it(`${name}: never a 2xx at any command`, async () => {
      const answer = Buffer.from(octets, 'latin1');
      for (const command of ['greeting', 'ehlo', 'mail'] as const) {
        if (command === 'greeting' && octets.startsWith('354')) continue;
        const { reply } = await rcptAt({ [command]: answer, helo: answer });
        assert.match(text(reply), /^451 4\.(5\.0|4\.1) /, command);
      }
      const atRcpt = await rcptAt({ rcpt: answer });
      assert.match(text(atRcpt.reply), /^451 4\.5\.0 \[relay\.protocol\]/);
      if (!octets.startsWith('354')) {
        const atData = await rcptAt({ data: answer });
        assert.match(text(await atData.leg.data()), /^451 4\.5\.0 \[relay\.protocol\]/);
      }
      const result = await dotAt({ dot: answer });
      assert.match(said(result), /^in-doubt 451 4\.5\.0 /);
    });
  }

  it('row 31: a reply that trickles meets its deadline', async () => {
    const clock = new ManualClock();
    const test = { dependencies: { clock } };
    const { leg, session } = await inData({ dot: () => undefined }, test);
    let result: DotResult | undefined;
    const asked = leg.send(inMemory(MESSAGE), dueIn(570_000, clock)).then((said) => {
      result = said;
    });
    await session.until(() => session.contents.length === 1);
    for (let i = 0; i < 57; i += 1) {
      assert.equal(result, undefined);
      session.write(i === 0 ? '250 ' : 'x');
      clock.advance(10_000);
      await nextTurn();
    }
    await asked;
    assert.equal(result?.kind, 'in-doubt');
  });

  it('row 32: a second reply to the dot changes nothing, unless it contradicts', async () => {
    const forged = await dotAt({ dot: '250 ok\r\n250 forged\r\n' });
    assert.equal(text(forged.reply), '250 ok');
    const bye = await dotAt({ dot: '250 ok\r\n421 bye\r\n' });
    assert.equal(text(bye.reply), '250 ok');
    const odd = await dotAt({ dot: '250 ok\r\nMAIL FROM:<x@y>\r\n' });
    assert.equal(text(odd.reply), '250 ok');
    for (const dot of ['250 ok\r\n550 no\r\n', '550 no\r\n250 ok\r\n']) {
      const result = await dotAt({ dot });
      assert.match(said(result), /^in-doubt 451 4\.5\.0 /);
    }
  });

  it('row 34: a 250 that comes before the dot is never passed on', async () => {
    // With 354, in the same segment; cut in two; later; and in the middle of the content.
    const early = [
      { data: '354 go\r\n250 queued\r\n' },
      { data: Buffer.from('354 go\r\n25'), dot: Buffer.from('0 queued\r\n') },
    ];
    for (const script of early) {
      const { leg } = await rcptAt(script);
      const reply = await leg.data();
      if (reply.code !== 354) {
        assert.match(text(reply), /^451 4\.5\.0 /);
        continue;
      }
      const result = await leg.send(inMemory(MESSAGE), dueIn());
      assert.match(said(result), /^in-doubt 451 4\.5\.0 /);
    }

    const { mx, leg, session } = await inData({});
    session.write('250 2.0.0 queued\r\n');
    await session.closed;
    const result = await leg.send(inMemory(MESSAGE), dueIn());
    assert.match(said(result), /^not-sent 451 4\.5\.0 \[relay\.protocol\]/);
    assert.deepEqual(mx.contents, []);

    let spoken = false;
    const content = (one: MxSession) => {
      if (!spoken) one.write('250 2.0.0 queued\r\n');
      spoken = true;
    };
    const streamed = await inData({ content });
    const stopped = await streamed.leg.send(inPieces(endless), dueIn());
    assert.match(said(stopped), /^not-sent 451 4\.5\.0 /);
    assert.deepEqual(streamed.mx.contents, []);
  });

  it('row 34: whatever comes before the dot, it is no 2xx', async () => {
    const octets = [
      '250 ok',
      '554 no',
      '421 bye',
      '354 go',
      '\r\n',
      '250 ',
      '250-',
      'x',
      '\n',
      '2',
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...octets), { minLength: 1, maxLength: 6 }),
        fc.constantFrom('with the 354', 'behind the 354', 'in the content'),
        async (pieces, when) => {
          const early = pieces.join('');
          let spoken = false;
          const content = (session: MxSession) => {
            if (when === 'in the content' && !spoken) session.write(early);
            spoken = true;
          };
          const data = when === 'with the 354' ? Buffer.from(`354 go\r\n${early}`) : '354 go';
          // Nothing is ever said to the dot itself.
          const dot = (session: MxSession) => session.drop() as undefined;
          const { leg, mx } = await rcptAt({ data, content, dot });
          if ((await leg.data()).code === 354) {
            const session = await mx.session(0);
            if (when === 'behind the 354') session.write(early);
            const source = when === 'in the content' ? inPieces(trickle) : inMemory(MESSAGE);
            const result = await leg.send(source, dueIn());
            assert.ok(result.reply.code >= 400, said(result));
          }
          leg.abort();
          await mx.close();
        },
      ),
      { numRuns: 60 },
    );
  });
});
