import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Reply } from '../../src/mail/reply.ts';
import type { DotResult, Leg } from '../../src/relay/leg.ts';
import { nextTurn } from '../../src/relay/smtp-client-content.ts';
import { ManualClock } from '../support/manual-clock.ts';
import {
  type FakeMx,
  type MxAnswer,
  type MxOptions,
  type MxScript,
  type MxSession,
  startMx,
} from '../support/mx.ts';
import { testCertificate } from '../support/mx-certificate.ts';
import { dueIn, inMemory, inPieces, mailbox, type TestLeg, testLeg } from '../support/mx-leg.ts';
import { waitFor } from '../support/wait-for.ts';

/*
 * Rows of the fault matrix that an MX can cause, each against real sockets. Time is a clock that the
 * test moves, or budgets so short that waiting for them is the fault itself.
 */

const MESSAGE = 'From: a@example.org\r\n\r\nbody\r\n';
const CERTIFICATE = testCertificate('mx.test');

function text(reply: Reply): string {
  const enhanced = reply.origin === 'local' ? ` ${reply.enhanced} [${reply.rule}]` : '';
  return `${reply.code}${enhanced} ${reply.lines.join(' | ')}`;
}

describe('faults of an MX', () => {
  let mxs: FakeMx[] = [];
  let legs: Leg[] = [];

  async function mxWith(script: MxScript, options: MxOptions = {}): Promise<FakeMx> {
    const mx = await startMx(script, options);
    mxs.push(mx);
    return mx;
  }

  function legTo(mx: FakeMx, test: Partial<TestLeg> = {}): Leg {
    const leg = testLeg({ port: mx.port, ...test });
    legs.push(leg);
    return leg;
  }

  async function rcptAt(script: MxScript, test: Partial<TestLeg> = {}, options: MxOptions = {}) {
    const mx = await mxWith(script, options);
    const leg = legTo(mx, test);
    return { mx, leg, reply: await leg.rcpt(mailbox('a@example.com')) };
  }

  /** Two MXs of one destination, at 127.0.0.1 and 127.0.0.2 of the same port. */
  async function twoMxs(first: MxScript, second: MxScript, test: Partial<TestLeg> = {}) {
    const one = await mxWith(first);
    const two = await mxWith(second, { host: '127.0.0.2', port: one.port });
    const candidates = [
      { host: 'mx1.test', addresses: ['127.0.0.1'] },
      { host: 'mx2.test', addresses: ['127.0.0.2'] },
    ];
    return { one, two, leg: legTo(one, { candidates, ...test }) };
  }

  async function inData(script: MxScript, test: Partial<TestLeg> = {}, options: MxOptions = {}) {
    const { mx, leg, reply } = await rcptAt(script, test, options);
    assert.equal(reply.code, 250);
    assert.equal((await leg.data()).code, 354);
    return { mx, leg, session: await mx.session(0) };
  }

  async function dotAt(script: MxScript, test: Partial<TestLeg> = {}): Promise<DotResult> {
    const { leg } = await inData(script, test);
    return leg.send(inMemory(MESSAGE), dueIn());
  }

  afterEach(async () => {
    for (const leg of legs) leg.abort();
    await Promise.all(mxs.map((mx) => mx.close()));
    mxs = [];
    legs = [];
  });

  it('row 5: no MX listens', async () => {
    const mx = await mxWith({});
    await mx.close();
    const leg = legTo(mx);
    const reply = await leg.rcpt(mailbox('a@example.com'));
    assert.match(
      text(reply),
      /^451 4\.4\.1 \[relay\.no-host\] .*mx\.test\[127\.0\.0\.1\].*ECONNREFUSED/,
    );
    assert.equal(await leg.rcpt(mailbox('b@example.com')), reply);
  });

  it('row 6: a host known to be dead is answered at once, without a connection', async () => {
    const mx = await mxWith({});
    const find = () => ({ reason: 'no connection within 30000 ms' });
    const deadHosts = { find, markDead: () => {}, markAlive: () => {} };
    const leg = legTo(mx, { dependencies: { deadHosts } });
    const reply = await leg.rcpt(mailbox('a@example.com'));
    assert.match(text(reply), /^451 4\.4\.1 .*no connection within 30000 ms \(a moment ago\)/);
    assert.equal(mx.sessions.length, 0);
  });

  it('row 6: an address that does not connect is remembered', async () => {
    const marked: string[] = [];
    const deadHosts = {
      find: () => undefined,
      markDead: (address: string) => marked.push(address),
      markAlive: (address: string) => marked.push(`not ${address}`),
    };
    const mx = await mxWith({});
    const candidates = [{ host: 'mx.test', addresses: ['127.0.0.3', '127.0.0.1'] }];
    const leg = legTo(mx, { candidates, dependencies: { deadHosts } });
    assert.equal((await leg.rcpt(mailbox('a@example.com'))).code, 250);
    assert.deepEqual(marked, ['127.0.0.3', 'not 127.0.0.1']);
  });

  it('row 7: the next MX is taken', async () => {
    const mx = await mxWith({}, { host: '127.0.0.2' });
    const candidates = [
      { host: 'mx1.test', addresses: ['127.0.0.1'] },
      { host: 'mx2.test', addresses: ['127.0.0.2'] },
    ];
    const leg = legTo(mx, { candidates });
    assert.equal((await leg.rcpt(mailbox('a@example.com'))).code, 250);
    await leg.data();
    const { reply } = await leg.send(inMemory(MESSAGE), dueIn());
    assert.equal(reply.origin === 'remote' ? reply.host : '', 'mx2.test');
  });

  it('row 8: a greeting that never comes, or trickles', async () => {
    for (const greeting of [() => undefined, '22']) {
      const clock = new ManualClock();
      const mx = await mxWith({
        greeting: typeof greeting === 'string' ? Buffer.from(greeting) : greeting,
      });
      const leg = legTo(mx, { dependencies: { clock }, options: { greetingTimeoutMs: 5000 } });
      const asked = leg.rcpt(mailbox('a@example.com'));
      const session = await mx.session(0);
      let answered = false;
      void asked.then(() => {
        answered = true;
      });
      // One octet before each inactivity time-out that one might have: the deadline is absolute.
      await waitFor('the deadline', () => {
        session.write('0');
        clock.advance(500);
        return answered;
      });
      assert.match(text(await asked), /^451 4\.4\.1 .*no answer to greeting in time/);
    }
  });

  it('row 9: 421 and 554 as greeting', async () => {
    const busy = await rcptAt({ greeting: '421 4.3.2 too busy' });
    assert.match(text(busy.reply), /^451 4\.4\.1 .*greeting was answered 421 4\.3\.2 too busy/);
    const never = await rcptAt({ greeting: '554 5.7.1 not you' });
    assert.equal(text(never.reply), '554 5.7.1 not you');
    const both = await twoMxs({ greeting: '554 not you' }, { greeting: '421 busy' });
    assert.equal((await both.leg.rcpt(mailbox('a@example.com'))).code, 451);
    const next = await twoMxs({ greeting: '554 not you' }, {});
    assert.equal((await next.leg.rcpt(mailbox('a@example.com'))).code, 250);
  });

  it('row 10: EHLO refused, HELO taken, refused, dropped', async () => {
    const helo = await rcptAt({ ehlo: '502 5.5.1 what' });
    assert.equal(helo.reply.code, 250);
    assert.deepEqual((await helo.mx.session(0)).commands.slice(0, 2), [
      'EHLO relay.example',
      'HELO relay.example',
    ]);
    const none = await rcptAt({ ehlo: '502 5.5.1 what', helo: '550 no' });
    assert.match(text(none.reply), /^451 4\.4\.1 .*HELO was answered 550 no/);
    const drops = await rcptAt({ ehlo: (session) => session.drop() as undefined });
    assert.match(text(drops.reply), /^451 4\.4\.1 .*closed the connection/);
  });

  describe('TLS', () => {
    const broken: Record<string, MxAnswer> = {
      'STARTTLS refused': '454 4.7.0 not now',
      'closed instead of a handshake': (session) => {
        session.write('220 ready\r\n');
        session.drop();
        return undefined;
      },
      'connection reset': (session) => session.reset() as undefined,
    };
    for (const [name, starttls] of Object.entries(broken)) {
      it(`row 11: ${name}: plain text on a new connection, unless TLS is required`, async () => {
        const free = await rcptAt({ starttls }, {}, { tls: CERTIFICATE });
        assert.equal(free.reply.code, 250);
        assert.equal(free.mx.sessions.length, 2);
        assert.ok(!free.mx.sessions[1]?.commands.includes('STARTTLS'));
        assert.equal(free.leg.facts?.tls, 'none');
        for (const tls of ['encrypt', 'verify'] as const) {
          const strict = await rcptAt({ starttls }, { destination: { tls } }, { tls: CERTIFICATE });
          assert.match(text(strict.reply), /^451 4\.7\.5 \[relay\.tls\]/);
          assert.ok(strict.mx.sessions.every(({ commands }) => !/MAIL/.test(commands.join())));
        }
      });
    }

    it('row 11: a handshake that stalls', async () => {
      const clock = new ManualClock();
      const starttls = async (session: MxSession) => {
        session.write('220 ready\r\n');
        await session.closed;
        return undefined;
      };
      const mx = await mxWith({ starttls }, { tls: CERTIFICATE });
      const leg = legTo(mx, { dependencies: { clock }, options: { greetingTimeoutMs: 3000 } });
      let reply: Reply | undefined;
      void leg.rcpt(mailbox('a@example.com')).then((said) => {
        reply = said;
      });
      await (await mx.session(0)).received('STARTTLS');
      await waitFor('the plain text connection', () => {
        if (reply === undefined && mx.sessions.length === 1) clock.advance(1000);
        return reply !== undefined;
      });
      assert.equal(reply?.code, 250);
      assert.equal(mx.sessions.length, 2);
    });

    it('is used unverified by default, with the name of the MX', async () => {
      const { mx, leg, reply } = await rcptAt({}, {}, { tls: CERTIFICATE });
      assert.equal(reply.code, 250);
      assert.equal(mx.sessions[0]?.tls?.servername, 'mx.test');
      assert.match(leg.facts?.tls ?? '', /^TLSv1\.3 TLS_\S+ unverified$/);
      await leg.data();
      const { reply: dot } = await leg.send(inMemory(MESSAGE), dueIn());
      assert.equal(text(dot), '250 2.0.0 queued');
    });

    it('row 11: a certificate that does not match is good enough unless verified', async () => {
      const options = { tls: testCertificate('other.test') };
      const caPem = options.tls.cert;
      assert.equal(
        (await rcptAt({}, { destination: { tls: 'encrypt' } }, options)).reply.code,
        250,
      );
      const wrong = await rcptAt({}, { destination: { tls: 'verify' }, caPem }, options);
      assert.match(text(wrong.reply), /^451 4\.7\.5 .*does not match/i);
      const unknown = await rcptAt({}, { destination: { tls: 'verify' } }, { tls: CERTIFICATE });
      assert.match(text(unknown.reply), /^451 4\.7\.5 .*self-signed/);
      const right = { destination: { tls: 'verify' }, caPem: CERTIFICATE.cert } as const;
      const verified = await rcptAt({}, right, { tls: CERTIFICATE });
      assert.equal(verified.reply.code, 250);
      assert.match(verified.leg.facts?.tls ?? '', / verified$/);
    });

    it('row 12: STARTTLS stripped where TLS is required', async () => {
      const { mx, reply } = await rcptAt({}, { destination: { tls: 'encrypt' } });
      assert.match(text(reply), /^451 4\.7\.5 /);
      assert.ok(!mx.sessions[0]?.commands.some((line) => line.startsWith('MAIL')));
    });

    it('row 13: octets behind the answer to STARTTLS', async () => {
      for (const starttls of [
        '220 ready\r\n250 mx.test\r\n',
        Buffer.from('220 ready\r\n250-x'),
        '250 ready',
      ]) {
        for (const tls of ['opportunistic', 'encrypt'] as const) {
          const { mx, reply } = await rcptAt(
            { starttls },
            { destination: { tls } },
            { tls: CERTIFICATE },
          );
          assert.match(text(reply), /^451 4\.7\.5 \[relay\.tls\] .*STARTTLS/);
          assert.equal(mx.sessions.length, 1);
        }
      }
    });

    const credentials = { user: 'u', password: 'secret' };

    it('sends credentials under TLS, and never without', async () => {
      const options = { tls: CERTIFICATE, extensions: ['PIPELINING', 'AUTH PLAIN'] };
      const good = await rcptAt({}, { destination: { credentials } }, options);
      assert.equal(good.reply.code, 250);
      assert.ok(good.mx.sessions[0]?.commands.includes(`AUTH PLAIN ${btoa('\0u\0secret')}`));
      for (const tls of ['none', 'opportunistic'] as const) {
        const plain = { extensions: ['AUTH PLAIN'] };
        const bad = await rcptAt({}, { destination: { credentials, tls } }, plain);
        assert.match(text(bad.reply), /^451 4\.7\.[58] /);
        assert.ok(!bad.mx.sessions.some(({ commands }) => /AUTH/.test(commands.join())));
      }
    });

    it('takes refused credentials for a passing fault', async () => {
      const options = { tls: CERTIFICATE, extensions: ['AUTH LOGIN'] };
      const script = { auth: '535 5.7.8 wrong' };
      const { reply } = await rcptAt(script, { destination: { credentials } }, options);
      assert.match(text(reply), /^451 4\.7\.8 \[relay\.auth\] .*535 5\.7\.8 wrong/);
      assert.ok(!text(reply).includes('secret'));
      const none = await rcptAt({}, { destination: { credentials } }, { tls: CERTIFICATE });
      assert.match(text(none.reply), /^451 4\.7\.8 .*offers no AUTH/);
    });
  });

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
      assert.equal(`${result.kind} ${text(result.reply)}`, 'answered 250 2.0.0 queued');
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
    assert.match(`${result.kind} ${text(result.reply)}`, /^not-sent 451 4\.4\.2 /);
    assert.equal(mx.contents.length, 0);

    const changed = await inData({});
    changed.mx.script = { rcpt: '550 5.1.1 gone' };
    changed.session.reset();
    await changed.session.closed;
    const other = await changed.leg.send(inMemory(MESSAGE), dueIn());
    assert.match(`${other.kind} ${text(other.reply)}`, /^not-sent 451 4\.4\.2 .*550 5\.1\.1 gone/);
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

  const big = Buffer.from('x'.repeat(998).concat('\r\n').repeat(1000));
  const endless = async function* () {
    for (let i = 0; i < 200; i += 1) yield big;
  };

  const trickle = async function* () {
    for (let i = 0; i < 5; i += 1) {
      yield Buffer.from('line\r\n');
      await nextTurn();
    }
  };

  it('row 24: reset in the middle of the content', async () => {
    for (const bytes of [1, 5_000_000]) {
      const content = (session: MxSession) => {
        if (session.content.length >= bytes) session.reset();
      };
      const { mx, leg } = await inData({ content });
      const result = await leg.send(inPieces(endless), dueIn());
      assert.match(
        `${result.kind} ${text(result.reply)}`,
        /^not-sent 451 4\.4\.2 \[relay\.connection-lost\]/,
      );
      assert.deepEqual(mx.contents, []);
      assert.equal(mx.sessions.length, 1);
    }
  });

  it('row 25: a refusal in the middle of the content stops it', async () => {
    for (const refusal of ['552 5.3.4 too big', '421 4.3.2 going down']) {
      let said = false;
      const content = (session: MxSession) => {
        if (!said) session.write(`${refusal}\r\n`);
        said = true;
      };
      const { mx, leg } = await inData({ content });
      const result = await leg.send(inPieces(endless), dueIn());
      assert.equal(`${result.kind} ${text(result.reply)}`, `answered ${refusal}`);
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
    const data = (session: MxSession) => {
      session.write('354 go\r\n');
      session.pause();
      return undefined;
    };
    for (const source of [inPieces(endless), inMemory(Buffer.concat(Array(20).fill(big)))]) {
      const { leg, session } = await inData({ data });
      const result = await leg.send(source, dueIn(200));
      assert.match(
        `${result.kind} ${text(result.reply)}`,
        /^not-sent 451 4\.4\.2 \[relay\.timeout\]/,
      );
      session.resume();
      await session.closed;
      assert.deepEqual(session.contents, []);
    }
  });

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
    assert.match(
      `${result.kind} ${text(result.reply)}`,
      /^in-doubt 451 4\.4\.2 \[relay\.in-doubt\]/,
    );
    void leg.finish();
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
      assert.match(
        `${result.kind} ${text(result.reply)}`,
        /^in-doubt 451 4\.4\.2 \[relay\.in-doubt\]/,
      );
    }
  });

  it('row 30: 421 behind the dot is its answer', async () => {
    const result = await dotAt({ dot: '421 4.3.2 going down' });
    assert.equal(`${result.kind} ${text(result.reply)}`, 'answered 421 4.3.2 going down');
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
      assert.match(`${result.kind} ${text(result.reply)}`, /^in-doubt 451 4\.5\.0 /);
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
      assert.match(`${result.kind} ${text(result.reply)}`, /^in-doubt 451 4\.5\.0 /);
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
      assert.match(`${result.kind} ${text(result.reply)}`, /^in-doubt 451 4\.5\.0 /);
    }

    const { mx, leg, session } = await inData({});
    session.write('250 2.0.0 queued\r\n');
    await session.closed;
    const result = await leg.send(inMemory(MESSAGE), dueIn());
    assert.match(
      `${result.kind} ${text(result.reply)}`,
      /^not-sent 451 4\.5\.0 \[relay\.protocol\]/,
    );
    assert.deepEqual(mx.contents, []);

    let said = false;
    const content = (one: MxSession) => {
      if (!said) one.write('250 2.0.0 queued\r\n');
      said = true;
    };
    const streamed = await inData({ content });
    const stopped = await streamed.leg.send(inPieces(endless), dueIn());
    assert.match(`${stopped.kind} ${text(stopped.reply)}`, /^not-sent 451 4\.5\.0 /);
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
          let said = false;
          const content = (session: MxSession) => {
            if (when === 'in the content' && !said) session.write(early);
            said = true;
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
            assert.ok(result.reply.code >= 400, `${result.kind} ${text(result.reply)}`);
          }
          leg.abort();
          await mx.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('row 34: nor one while most of a message in memory waits to be written', async () => {
    const data = (session: MxSession) => {
      session.write('354 go\r\n');
      session.pause();
      return undefined;
    };
    const { leg, session } = await inData({ data });
    const asked = leg.send(inMemory(Buffer.concat(Array(20).fill(big))), dueIn());
    await nextTurn();
    session.write('250 2.0.0 queued\r\n');
    const result = await asked;
    assert.match(`${result.kind} ${text(result.reply)}`, /^not-sent 451 4\.5\.0 /);
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
