import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SIGNER } from '../support/client-lab.ts';
import { type FakeDns, startDns } from '../support/dns.ts';
import { type FakeMx, startMx } from '../support/mx.ts';
import { testCertificate } from '../support/mx-certificate.ts';
import { requirePeer } from '../support/peers.ts';
import { PostfixMx } from '../support/postfix-mx.ts';
import { RawClient } from '../support/raw-client.ts';
import { dkimpyVerifier, mailauthVerifier, type TxtRecords } from '../support/verifiers.ts';
import { waitFor } from '../support/wait-for.ts';
import { type LogRecord, Waxseal } from '../support/waxseal.ts';

/* A real Postfix as the MX: what it takes, what it refuses, and what it stores. */

const CERTIFICATE = testCertificate('mx.sink.test');
/** What the Postfix takes, in octets. */
const SIZE_LIMIT = 200_000;
const PASSWORD = 'correct horse battery';

function message(subject: string, body: string): Buffer {
  const header = `From: author@${SIGNER}\r\nTo: a@sink.test\r\nSubject: ${subject}\r\n`;
  return Buffer.from(`${header}\r\n${body}`);
}

describe('a real Postfix as the MX', function () {
  this.timeout(120_000);
  let mx: PostfixMx;
  let submission: FakeMx;
  let dns: FakeDns;
  let waxseal: Waxseal;
  let keyRecords: TxtRecords;

  before(async function () {
    mx = await PostfixMx.start(
      requirePeer(this, 'postfix'),
      {
        'a@sink.test': 'a',
        'jörg@sink.test': 'joerg',
        'a@encrypt.test': 'a',
        'a@verify.test': 'a',
        'a@wrong-name.test': 'a',
      },
      {
        tls: CERTIFICATE,
        mainCf: `smtpd_tls_received_header = yes\nmessage_size_limit = ${SIZE_LIMIT}\n`,
      },
    );
    submission = await startMx({}, { tls: CERTIFICATE, extensions: ['PIPELINING', 'AUTH PLAIN'] });
    dns = await startDns({
      'sink.test': { MX: [[10, 'mx.sink.test']] },
      'mx.sink.test': { A: ['127.0.0.1'] },
      'other-name.test': { A: ['127.0.0.1'] },
    });
    waxseal = await Waxseal.prepare({});
    const passwordFile = join(waxseal.dir, 'password');
    await writeFile(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
    const route = (domain: string, host: string, tls: string) => ({
      domains: [domain],
      hosts: [host],
      port: mx.port,
      tls,
    });
    await waxseal.configure({
      dns: { servers: [dns.server] },
      relay: { port: mx.port, allowPrivate: true, ehloName: 'relay.example.net' },
      route: [
        route('encrypt.test', 'mx.sink.test', 'encrypt'),
        route('verify.test', 'mx.sink.test', 'verify'),
        route('wrong-name.test', 'other-name.test', 'verify'),
        {
          domains: ['auth.test'],
          hosts: ['127.0.0.1'],
          port: submission.port,
          tls: 'encrypt',
          credentials: { user: 'relay', passwordFile },
        },
      ],
    });
    await waxseal.makeKeys(SIGNER);
    const printed = await waxseal.cli('keys', 'dns', SIGNER, '--json');
    const { records } = JSON.parse(printed) as { records: { name: string; value: string }[] };
    keyRecords = Object.fromEntries(records.map(({ name, value }) => [name, value]));
    await waxseal.serve();
  });
  after(async () => {
    await waxseal?.stop();
    await submission?.close();
    await mx?.stop();
    await dns?.close();
  });

  async function send(to: string, content: Buffer, parameters = ''): Promise<string> {
    const client = await RawClient.session(waxseal.port);
    await client.command(`MAIL FROM:<author@${SIGNER}>${parameters}`);
    client.write(Buffer.from(`RCPT TO:<${to}>\r\n`));
    const rcpt = await client.reply();
    if (!rcpt.startsWith('250')) {
      await client.command('QUIT');
      return rcpt;
    }
    await client.command('DATA');
    client.write(Buffer.from(content.toString('latin1').replace(/^\./gm, '..'), 'latin1'));
    const reply = await client.command('.');
    await client.command('QUIT');
    return reply;
  }

  async function recordOf(to: string, count = 1): Promise<LogRecord> {
    const mine = () =>
      waxseal.transactions.filter(({ recipients }) =>
        (recipients as { address: string }[]).some(({ address }) => address === to),
      );
    await waitFor(`the record for ${to}`, () => mine().length >= count);
    return mine().at(-1) ?? {};
  }

  const tlsOf = (record: LogRecord) => (record.remote as { tls: string } | undefined)?.tls ?? '';

  for (const verifier of [mailauthVerifier, dkimpyVerifier]) {
    it(`stores a message whose two signatures verify in ${verifier.name}`, async function () {
      if (verifier.peer !== undefined) requirePeer(this, verifier.peer);
      const subject = `for ${verifier.name}`;
      const body = 'A line.\r\n.\r\n..two dots\r\n  spaces  at  ends \r\n\r\n\r\n';
      const reply = await send('a@sink.test', message(subject, body));
      assert.match(reply, /^250 2\.0\.0 Ok: queued as \S+$/);
      const stored = await mx.storedWith('a', subject);
      assert.ok(stored.toString().endsWith(`Subject: ${subject}\r\n\r\n${body}`));
      assert.match(stored.toString(), /^Return-Path: <author@signer\.test>\r\n/);
      const [selectors] = await verifier.verify([stored], keyRecords);
      assert.equal(selectors?.length, 2);
    });
  }

  it('refuses an unknown recipient in its own words', async () => {
    assert.equal(
      await send('nobody@sink.test', message('nobody', 'body\r\n')),
      '550 5.1.1 <nobody@sink.test>: Recipient address rejected: User unknown in virtual mailbox table',
    );
    assert.equal((await recordOf('nobody@sink.test')).outcome, 'rejected');
  });

  it('gets mail over TLS that is not verified, by default', async () => {
    assert.match(await send('a@sink.test', message('over TLS', 'body\r\n')), /^250 /);
    assert.match(tlsOf(await recordOf('a@sink.test')), /^TLSv1\.3 \S+ unverified$/);
    const stored = (await mx.storedWith('a', 'over TLS')).toString();
    assert.match(stored, /^Received: from relay\.example\.net [^\n]*\r\n\s+\(using TLSv1\.3 /m);
  });

  it('is good enough for `encrypt`, and for `verify` only with its authority', async () => {
    assert.match(await send('a@encrypt.test', message('encrypt', 'body\r\n')), /^250 /);
    assert.match(tlsOf(await recordOf('a@encrypt.test')), / unverified$/);
    const distrusted = await send('a@verify.test', message('verify', 'body\r\n'));
    assert.match(distrusted, /^451[ -]4\.7\.5 .*self-signed.*\[waxseal relay\.tls \S+\]$/s);
    assert.equal((await recordOf('a@verify.test')).outcome, 'deferred');

    const caFile = join(waxseal.dir, 'ca.pem');
    await writeFile(caFile, CERTIFICATE.cert);
    const relay = { port: mx.port, allowPrivate: true, ehloName: 'relay.example.net', caFile };
    await waxseal.configure({ relay });
    await waxseal.end();
    waxseal.records.length = 0;
    await waxseal.serve();
    assert.match(await send('a@verify.test', message('verified', 'body\r\n')), /^250 /);
    assert.match(tlsOf(await recordOf('a@verify.test')), /^TLSv1\.3 \S+ verified$/);
    const misnamed = await send('a@wrong-name.test', message('wrong name', 'body\r\n'));
    assert.match(misnamed, /^451[ -]4\.7\.5 .*\[waxseal relay\.tls \S+\]$/s);
    await mx.storedWith('a', 'verified');
    await mx.untilIdle();
    const stored = (await mx.stored('a')).join('');
    assert.doesNotMatch(stored, /^Subject: (?:verify|wrong name)\r$/m);
  });

  it('takes an address and a header outside ASCII, with SMTPUTF8', async () => {
    const content = message('Grüße', 'Schöne Grüße\r\n');
    const reply = await send('jörg@sink.test', content, ' BODY=8BITMIME SMTPUTF8');
    assert.match(reply, /^250 /);
    const stored = await mx.storedWith('joerg', 'Grüße');
    assert.ok(stored.toString().endsWith('\r\n\r\nSchöne Grüße\r\n'));
    assert.match(stored.toString(), /^Delivered-To: jörg@sink\.test\r$/m);
    assert.match(stored.toString(), /\bwith UTF8SMTPS?\b/);
    const [selectors] = await mailauthVerifier.verify([stored], keyRecords);
    assert.equal(selectors?.length, 2);
  });

  it('takes 8-bit content as it is', async () => {
    const body = Buffer.from([...Array(128).keys()].map((octet) => octet + 128));
    const content = Buffer.concat([message('8 bit', ''), body, Buffer.from('\r\n')]);
    assert.match(await send('a@sink.test', content, ' BODY=8BITMIME'), /^250 /);
    const stored = await mx.storedWith('a', '8 bit');
    assert.ok(stored.subarray(-130).equals(Buffer.concat([body, Buffer.from('\r\n')])));
    const [selectors] = await mailauthVerifier.verify([stored], keyRecords);
    assert.equal(selectors?.length, 2);
  });

  it('is too small: a declared size is refused at RCPT, an undeclared one in its own words', async () => {
    const big = message('big', 'a line of text\r\n'.repeat(SIZE_LIMIT / 16 + 1000));
    const declared = await send('a@sink.test', big, ` SIZE=${SIZE_LIMIT - 10}`);
    assert.match(declared, /^552 5\.3\.4 .*\[waxseal relay\.size \S+\]$/);
    const undeclared = await send('a@sink.test', big);
    assert.match(undeclared, /^552 5\.3\.4 Error: message [^[]*$/);
    const fits = message('fits', 'a line of text\r\n'.repeat(SIZE_LIMIT / 32));
    assert.match(await send('a@sink.test', fits, ` SIZE=${fits.length}`), /^250 /);
  });

  it('has a neighbour that wants AUTH: the route logs in, and the log has no password', async () => {
    assert.equal(await send('a@auth.test', message('with AUTH', 'body\r\n')), '250 2.0.0 queued');
    const secret = Buffer.from(`\0relay\0${PASSWORD}`).toString('base64');
    const [session] = submission.sessions;
    assert.ok(session?.commands.includes(`AUTH PLAIN ${secret}`));
    assert.ok(session?.tls !== undefined);
    assert.match(tlsOf(await recordOf('a@auth.test')), /^TLSv1\.3 /);
    const log = JSON.stringify(waxseal.records) + waxseal.stderr;
    assert.ok(!log.includes(PASSWORD) && !log.includes(secret));
  });
});
