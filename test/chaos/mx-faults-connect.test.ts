import assert from 'node:assert/strict';
import type { Reply } from '../../src/mail/reply.ts';
import { ManualClock } from '../support/manual-clock.ts';
import type { MxAnswer, MxSession } from '../support/mx.ts';
import { testCertificate } from '../support/mx-certificate.ts';
import { MESSAGE, MxLab, text } from '../support/mx-lab.ts';
import { dueIn, inMemory, mailbox } from '../support/mx-leg.ts';
import { waitFor } from '../support/wait-for.ts';

/* Rows of the fault matrix up to EHLO, STARTTLS and AUTH, each against real sockets. */

const CERTIFICATE = testCertificate('mx.test');

describe('faults of an MX while a session is set up', () => {
  const lab = new MxLab();
  const { mxWith, legTo, rcptAt, twoMxs } = lab;

  afterEach(() => lab.close());

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
});
