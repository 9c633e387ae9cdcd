import assert from 'node:assert/strict';
import type { Reply } from '../../../src/mail/reply.ts';
import type { Leg } from '../../../src/relay/leg.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { type FakeMx, type MxOptions, type MxScript, startMx } from '../../support/mx.ts';
import { testCertificate } from '../../support/mx-certificate.ts';
import { dueIn, inMemory, inPieces, mailbox, type TestLeg, testLeg } from '../../support/mx-leg.ts';

function text(reply: Reply): string {
  const enhanced = reply.origin === 'local' ? ` ${reply.enhanced} [${reply.rule}]` : '';
  return `${reply.code}${enhanced} ${reply.lines.join(' | ')}`;
}

describe('Leg', () => {
  let mxs: FakeMx[] = [];
  let legs: Leg[] = [];

  async function mxAndLeg(
    script: MxScript = {},
    test: Partial<TestLeg> = {},
    options: MxOptions = {},
  ): Promise<{ mx: FakeMx; leg: Leg }> {
    const mx = await startMx(script, options);
    mxs.push(mx);
    const leg = testLeg({ port: mx.port, ...test });
    legs.push(leg);
    return { mx, leg };
  }

  afterEach(async () => {
    for (const leg of legs) leg.abort();
    await Promise.all(mxs.map((mx) => mx.close()));
    mxs = [];
    legs = [];
  });

  it('relays a message with the replies of the MX, and says QUIT', async () => {
    const { mx, leg } = await mxAndLeg({ dot: '250-2.0.0 queued\r\n250 2.0.0 as 4711' });
    assert.equal(text(await leg.rcpt(mailbox('a@example.com'))), '250 2.1.5 recipient ok');
    assert.equal((await leg.data()).code, 354);
    const result = await leg.send(
      inMemory('Subject: x\r\n\r\n.dot\r\n', 'Received: us\r\n'),
      dueIn(),
    );
    assert.equal(result.kind, 'answered');
    assert.equal(text(result.reply), '250 2.0.0 queued | 2.0.0 as 4711');
    leg.finish();
    const session = await mx.session(0);
    await session.closed;
    assert.deepEqual(session.commands, [
      'EHLO relay.example',
      'MAIL FROM:<sender@example.org>',
      'RCPT TO:<a@example.com>',
      'DATA',
      'QUIT',
    ]);
    assert.deepEqual(mx.contents, ['Received: us\r\nSubject: x\r\n\r\n..dot\r\n.\r\n']);
    assert.equal(leg.facts?.host, 'mx.test');
    assert.equal(leg.facts?.address, '127.0.0.1');
    assert.equal(leg.facts?.tls, 'none');
    assert.deepEqual(Object.keys(leg.facts?.timingsMs ?? {}), [
      'routing',
      'connect',
      'greeting',
      'mail',
      'rcpt',
      'mxData',
      'dot',
    ]);
  });

  it('sends MAIL and the RCPTs of a tick in one write', async () => {
    const { mx, leg } = await mxAndLeg({
      rcpt: (_session, line) =>
        (line.includes('b@') ? '550 5.1.1 no such user' : undefined) ?? '250 ok',
    });
    const replies = await Promise.all(
      ['a@example.com', 'b@example.com', 'c@example.com'].map((one) => leg.rcpt(mailbox(one))),
    );
    assert.deepEqual(replies.map(text), ['250 ok', '550 5.1.1 no such user', '250 ok']);
    const session = await mx.session(0);
    assert.equal(
      session.commandChunks[1],
      'MAIL FROM:<sender@example.org>\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\n',
    );
    const more = await Promise.all(['d@e.f', 'g@h.i'].map((one) => leg.rcpt(mailbox(one))));
    assert.deepEqual(more.map(text), ['250 ok', '250 ok']);
    assert.equal(session.commandChunks[2], 'RCPT TO:<d@e.f>\r\nRCPT TO:<g@h.i>\r\n');
  });

  it('sends one command at a time where PIPELINING is not offered', async () => {
    const { mx, leg } = await mxAndLeg({}, {}, { extensions: ['8BITMIME'] });
    await Promise.all(['a@example.com', 'b@example.com'].map((one) => leg.rcpt(mailbox(one))));
    const session = await mx.session(0);
    assert.deepEqual(session.commandChunks.slice(1), [
      'MAIL FROM:<sender@example.org>\r\n',
      'RCPT TO:<a@example.com>\r\n',
      'RCPT TO:<b@example.com>\r\n',
    ]);
  });

  it('passes parameters on that the MX offers, and no others', async () => {
    const mail = { sizeBytes: 1000, body: '8BITMIME', smtpUtf8: true } as const;
    const { mx, leg } = await mxAndLeg({}, { mail, extraBytes: 24 });
    await leg.rcpt(mailbox('a@example.com'));
    assert.equal(
      (await mx.session(0)).commands[1],
      'MAIL FROM:<sender@example.org> SIZE=1024 BODY=8BITMIME SMTPUTF8',
    );
    const small = { sizeBytes: 1000, body: '7BIT' } as const;
    const other = await mxAndLeg({}, { mail: small }, { extensions: ['PIPELINING'] });
    await other.leg.rcpt(mailbox('a@example.com'));
    assert.equal((await other.mx.session(0)).commands[1], 'MAIL FROM:<sender@example.org>');
  });

  it('sends a large message with back-pressure, octet for octet', async () => {
    const piece = Buffer.from(`${'x'.repeat(70)}\r\n.${'y'.repeat(70)}\r\n`.repeat(1000));
    const count = 40;
    const { mx, leg } = await mxAndLeg();
    await leg.rcpt(mailbox('a@example.com'));
    await leg.data();
    const result = await leg.send(
      inPieces(async function* () {
        for (let i = 0; i < count; i += 1) yield piece;
      }),
      dueIn(),
    );
    assert.equal(text(result.reply), '250 2.0.0 queued');
    const content = mx.contents[0] ?? '';
    const decoded = content.replaceAll('\r\n..', '\r\n.').slice(0, -3);
    assert.equal(decoded.length, piece.length * count);
    assert.ok(decoded === piece.toString('latin1').repeat(count));
  });

  it('tells whether the connection may still hold octets of the message', async () => {
    const large = inMemory(Buffer.alloc(4_000_000, 'x\r\n'));
    const whole = await mxAndLeg({ dot: '554 5.7.1 no' });
    await whole.leg.rcpt(mailbox('a@example.com'));
    await whole.leg.data();
    const refused = await whole.leg.send(large, dueIn());
    assert.ok(refused.kind === 'answered' && refused.settled);
    // A refusal amid the content: most of it waits in our socket still.
    const early = await mxAndLeg({
      content: (session) => {
        session.pause();
        session.write('552 5.3.4 too large\r\n');
      },
    });
    await early.leg.rcpt(mailbox('a@example.com'));
    await early.leg.data();
    const cut = await early.leg.send(large, dueIn());
    assert.equal(text(cut.reply), '552 5.3.4 too large');
    assert.ok(cut.kind === 'answered' && !cut.settled);
  });

  it('leaves the MX without a dot when the transaction is given up', async () => {
    const { mx, leg } = await mxAndLeg();
    await leg.rcpt(mailbox('a@example.com'));
    await leg.data();
    leg.abort();
    const session = await mx.session(0);
    await session.closed;
    assert.deepEqual(session.contents, []);
    assert.deepEqual(await leg.send(inMemory('x\r\n'), dueIn()), {
      kind: 'not-sent',
      reply: await leg.rcpt(mailbox('b@example.com')),
    });
  });

  it('takes the answer of a quick MX over TLS, however soon it comes', async () => {
    const tls = testCertificate('mx.test');
    for (const bytes of [10, 100_000, 3_000_000]) {
      const { mx, leg } = await mxAndLeg({}, {}, { tls });
      await leg.rcpt(mailbox('a@example.com'));
      await leg.data();
      const result = await leg.send(inMemory(Buffer.alloc(bytes, '0123456\r\n')), dueIn());
      assert.equal(`${result.kind} ${text(result.reply)}`, 'answered 250 2.0.0 queued');
      leg.finish();
      assert.equal(mx.contents.length, 1);
    }
  });

  it('sends no dot when the message cannot be read back', async () => {
    const { mx, leg } = await mxAndLeg();
    await leg.rcpt(mailbox('a@example.com'));
    await leg.data();
    const result = await leg.send(
      inPieces(async function* () {
        yield Buffer.from('Subject: x\r\n');
        throw new Error('disk on fire');
      }),
      dueIn(),
    );
    assert.match(`${result.kind} ${text(result.reply)}`, /^not-sent 451 4\.3\.0 .*disk on fire/);
    await (await mx.session(0)).closed;
    assert.deepEqual(mx.contents, []);
  });

  it('keeps still behind the dot when the transaction is given up', async () => {
    let answer = (_reply: string) => {};
    const dot = () =>
      new Promise<string>((resolve) => {
        answer = resolve;
      });
    const { mx, leg } = await mxAndLeg({ dot });
    await leg.rcpt(mailbox('a@example.com'));
    await leg.data();
    const asked = leg.send(inMemory('x\r\n'), dueIn());
    const session = await mx.session(0);
    await session.until(() => session.contents.length === 1);
    leg.abort();
    answer('250 2.0.0 queued');
    assert.equal(text((await asked).reply), '250 2.0.0 queued');
  });

  it('gives up while hosts are still being tried', async () => {
    const { mx, leg } = await mxAndLeg({ greeting: () => undefined });
    const asked = leg.rcpt(mailbox('a@example.com'));
    const session = await mx.session(0);
    leg.abort();
    assert.match(text(await asked), /^451 4\.4\.2 \[relay\.given-up\]/);
    await session.closed;
  });

  it('answers within its budget when routing or connecting hangs', async () => {
    const clock = new ManualClock();
    const hangs = (signal: AbortSignal | undefined) =>
      new Promise<never>((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason));
      });
    const options = { rcptBudgetMs: 240_000 };
    const lost = testLeg({
      port: 25,
      options,
      dependencies: { clock, candidates: (_destination, signal) => hangs(signal) },
    });
    const asked = lost.rcpt(mailbox('a@example.com'));
    clock.advance(240_000);
    assert.match(text(await asked), /^451 4\.4\.3 \[relay\.routing\]/);
    assert.equal(clock.waiting, 0);

    const timeouts: number[] = [];
    const silent = testLeg({
      port: 25,
      options: { ...options, connectTimeoutMs: 300_000 },
      dependencies: {
        clock,
        raceConnect: async ([address = ''], { timeoutMs }) => {
          timeouts.push(timeoutMs);
          return { ok: false, failures: [{ address, error: 'too slow', code: 'ETIMEDOUT' }] };
        },
      },
    });
    const reply = await silent.rcpt(mailbox('a@example.com'));
    assert.match(text(reply), /^451 4\.4\.1 .*mx\.test\[127\.0\.0\.1\]: too slow/);
    assert.deepEqual(timeouts, [240_000]);
  });
});
