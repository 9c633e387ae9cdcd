import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { ClientLab, messageOf, SIGNER } from '../support/client-lab.ts';
import { dotDecoded } from '../support/dot-decoded.ts';
import { testCertificate } from '../support/mx-certificate.ts';
import type { RawClient } from '../support/raw-client.ts';

/*
 * Rows of the fault matrix that a client causes, against the whole relay: the client hears one
 * well-formed answer and keeps its session, the MX sees nothing that it should not, and others are
 * served meanwhile.
 */

const CERTIFICATE = testCertificate('relay.example.net');
const MEBIBYTE = 1024 * 1024;
const OWN_REFUSAL = /^5\d\d 5\.\d+\.\d+ .*\[waxseal \S+ \S+\]$/;

/** What Node reads at most from one socket before it looks at others. */
const ONE_TURN_BYTES = 2 * MEBIBYTE;

/** All texts of one to `longest` octets of an alphabet. */
function allTexts(alphabet: readonly string[], longest: number): string[] {
  const all: string[] = [];
  let last = [''];
  for (let length = 1; length <= longest; length += 1) {
    last = last.flatMap((text) => alphabet.map((octet) => text + octet));
    all.push(...last);
  }
  return all;
}

/** Content as the contract has it normalised. Slow and plain on purpose. */
function normalised(raw: string): string {
  return raw
    .replace(/(^|\r\n)\./g, '$1')
    .replace(/\r(?!\n)/g, ' ')
    .replace(/(?<!\r)\n/g, '\r\n');
}

describe('a hostile client', function () {
  this.timeout(60_000);
  let lab: ClientLab;

  before(async () => {
    lab = await ClientLab.start({ 'good.test': {}, 'evil.test': {} }, ({ mxPort, waxseal }) => {
      const certFile = join(waxseal.dir, 'cert.pem');
      const keyFile = join(waxseal.dir, 'key.pem');
      writeFileSync(certFile, CERTIFICATE.cert);
      writeFileSync(keyFile, CERTIFICATE.key);
      return {
        relay: { port: mxPort, allowPrivate: true, ehloName: 'relay.example.net' },
        tls: { certFile, keyFile },
        limits: {
          messageBytes: 12 * MEBIBYTE,
          headerBytes: MEBIBYTE,
          recipients: 500,
          protocolErrors: 1000,
        },
        spool: { messageMemoryBytes: 100_000 },
      };
    });
  });
  after(() => lab?.stop());

  const arrived = () => lab.lab.mx('good.test').contents;

  /** Opens a transaction to the good MX that stands in DATA. */
  async function inData(client: RawClient): Promise<string> {
    const sender = lab.sender();
    await client.command(`MAIL FROM:<${sender}>`);
    await client.command('RCPT TO:<a@good.test>');
    assert.match(await client.command('DATA'), /^354 /);
    return sender;
  }

  /**
   * Sends a flood; a second session whose command comes half-way is answered before it is through.
   *
   * @param hear reads the replies to the flood
   */
  async function assertOthersServed(
    client: RawClient,
    octets: Buffer,
    hear: () => Promise<unknown>,
  ): Promise<void> {
    const other = await lab.session();
    const order: string[] = [];
    const half = octets.length / 2;
    client.write(octets.subarray(0, half));
    const served = other.command('NOOP').then(() => order.push('other'));
    client.write(octets.subarray(half));
    const through = hear().then(() => order.push('flood'));
    await Promise.all([through, served]);
    assert.deepEqual(order, ['other', 'flood']);
    other.close();
  }

  /** As `assertOthersServed`, where there is so much that others must have their turn amid it. */
  async function flood(
    client: RawClient,
    octets: Buffer,
    hear: () => Promise<unknown>,
  ): Promise<void> {
    if (octets.length > 2 * ONE_TURN_BYTES) return assertOthersServed(client, octets, hear);
    client.write(octets);
    await hear();
  }

  describe('row 38: pipelining', () => {
    it('two messages in one write stay two messages', async () => {
      const before = arrived().length;
      const client = await lab.session();
      const senders = [lab.sender(), lab.sender()];
      const dialogues = senders.map(
        (sender) =>
          `MAIL FROM:<${sender}>\r\nRCPT TO:<a@good.test>\r\nDATA\r\n${messageOf(sender)}.\r\n`,
      );
      client.write(`${dialogues.join('')}QUIT\r\n`);
      const heard: string[] = [];
      for (let index = 0; index < 9; index += 1) heard.push((await client.reply()).slice(0, 3));
      assert.deepEqual(heard.join(' '), '250 250 354 250 250 250 354 250 221');
      const contents = arrived().slice(before);
      assert.equal(contents.length, 2);
      for (const [index, content] of contents.entries()) {
        assert.match(content, new RegExp(`Subject: ${senders[index]}\r\n\r\nbody\r\n\\.\r\n$`));
        assert.doesNotMatch(content, /MAIL FROM/);
      }
      for (const sender of senders) assert.equal((await lab.record(sender)).outcome, 'accepted');
    });

    it('commands in clear behind STARTTLS are never run', async () => {
      const sessions = lab.lab.mx('evil.test').sessions.length;
      const socket = connect(lab.lab.waxseal.port, '127.0.0.1');
      await once(socket, 'data');
      socket.write('EHLO client.test\r\n');
      await once(socket, 'data');
      socket.write(`STARTTLS\r\nEHLO x\r\nMAIL FROM:<in@${SIGNER}>\r\nRCPT TO:<a@evil.test>\r\n`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      assert.match(answer.toString(), /^220 [^\n]*\r\n$/);
      const secure = connectTls({ socket, rejectUnauthorized: false });
      await once(secure, 'secureConnect');
      // Nothing said in clear counts, not even the EHLO: the first answer is to this command.
      secure.write('RCPT TO:<a@evil.test>\r\n');
      const [first] = (await once(secure, 'data')) as [Buffer];
      assert.match(first.toString(), /^503 5\.5\.1 /);
      secure.write('NOOP\r\n');
      const [second] = (await once(secure, 'data')) as [Buffer];
      assert.match(second.toString(), /^250 2\.0\.0 /);
      assert.equal(lab.lab.mx('evil.test').sessions.length, sessions);
      secure.destroy();
    });
  });

  describe('row 39: every end of line and of data that is none', () => {
    it('arrives normalised, as one message', async () => {
      const texts = allTexts(['\r', '\n', '.'], 6).map((text) => `A${text}B`);
      const harmless = texts.filter((text) => !text.includes('\r\n.\r\n'));
      const content = messageOf('row 39', `${harmless.join('\r\n')}\r\n`).toString('latin1');
      const client = await lab.session();
      const before = arrived().length;
      const sender = await inData(client);
      client.write(`${content}.\r\n`);
      assert.equal(await client.reply(), '250 2.0.0 queued');
      const contents = arrived().slice(before);
      assert.equal(contents.length, 1);
      const [octets = ''] = contents;
      assert.doesNotMatch(octets, /\r(?!\n)|(?<!\r)\n/);
      assert.equal(octets.indexOf('\r\n.\r\n'), octets.length - 5, 'one end of data');
      const message = dotDecoded(Buffer.from(octets, 'latin1')).toString('latin1');
      assert.equal(message.slice(message.indexOf(`From: author@${SIGNER}`)), normalised(content));
      assert.equal((await lab.record(sender)).outcome, 'accepted');
      client.close();
    });

    it('is refused with NUL among it', async () => {
      const texts = allTexts(['\r', '\n', '\0', '.'], 6).filter((text) => text.includes('\0'));
      const harmless = texts.filter((text) => !text.includes('\r\n.\r\n'));
      const client = await lab.session();
      const before = arrived().length;
      const sender = await inData(client);
      const body = harmless.map((text) => `A${text}B\r\n`).join('');
      client.write(Buffer.concat([messageOf('NUL', body), Buffer.from('.\r\n')]));
      assert.match(await client.reply(), /^550 5\.6\.0 .*\[waxseal content\.nul \S+\]$/);
      assert.equal((await lab.record(sender)).outcome, 'rejected');
      await lab.assertGoesOn(client, 'good.test');
      assert.equal(arrived().length, before + 1);
      client.close();
    });
  });

  it('row 40: no odd octet of HELO, MAIL, RCPT or their parameters reaches the MX', async () => {
    const atHello = [
      'a b',
      'a\0b',
      'a\rb',
      `a\nMAIL FROM:<x@${SIGNER}>`,
      '\xe4',
      '',
      '<b>',
      'a\tb',
    ];
    const own = `<x@${SIGNER}>`;
    const atMail = [
      ...['\r', '\n', '\0', ' ', '\xff', '\x1b', '\t', '\x7f'].map((odd) => `<x${odd}@${SIGNER}>`),
      `<x@${SIGNER}\r\0>`,
      `<x@signer\xe4.test>`,
      `${own} SIZE=1\rX`,
      `${own} SIZE=1\nRCPT TO:<x@evil.test>`,
      `${own}\tSIZE=1`,
      `${own}SIZE=1`,
      `${own} BODY=\xe4`,
      `${own} BODY=BINARYMIME`,
      `${own} SMTPUTF8=1`,
      `${own} SIZE=1 SIZE=2`,
      `${own} SIZE=-1`,
      `${own} RET=FULL`,
      `<x@${SIGNER}`,
      `x@${SIGNER}`,
    ];
    const atRcpt = [
      ...['\r', '\n', '\0', ' ', '\xff', '\x1b', '\t', '\xc3\xa9'].map(
        (odd) => `<x${odd}@evil.test>`,
      ),
      '<x@evil.test>\rRCPT TO:<y@evil.test>',
      '<x@evil.test\nRCPT TO:<y@evil.test>',
      '<x@evil.test> NOTIFY=NEVER',
      '<x@evil.test> ORCPT=rfc822;x\n',
      '<x@evil.test>\0',
      '<>',
      '<x@>',
      '<@evil.test>',
    ];
    const client = await lab.session();
    const inStep = async (line: string) => {
      const reply = await client.command(line);
      assert.match(reply, OWN_REFUSAL, JSON.stringify(line));
      assert.match(await client.command('NOOP'), /^250 2\.0\.0 /, JSON.stringify(line));
    };
    for (const argument of atHello) await inStep(`EHLO ${argument}`);
    for (const argument of atMail) await inStep(`MAIL FROM:${argument}`);
    const sender = await (async () => {
      const one = lab.sender();
      await client.command(`MAIL FROM:<${one}>`);
      assert.match(await client.command('RCPT TO:<ok@good.test>'), /^250 /);
      return one;
    })();
    for (const argument of atRcpt) await inStep(`RCPT TO:${argument}`);
    await client.command('DATA');
    client.write(messageOf('row 40'));
    assert.match(await client.command('.'), /^250 /);
    const session = lab.lab.mx('good.test').sessions.at(-1);
    assert.deepEqual(session?.commands.slice(1, 4), [
      `MAIL FROM:<${sender}>`,
      'RCPT TO:<ok@good.test>',
      'DATA',
    ]);
    assert.equal(lab.lab.mx('evil.test').sessions.length, 0);
    client.close();
  });

  describe('row 41: the domain that is routed to is the one that stands in the address', () => {
    const taken: Readonly<Record<string, string>> = {
      '<@evil.test,@evil.test:a@good.test>': '<a@good.test>',
      '<a%evil.test@good.test>': '<a%evil.test@good.test>',
      '<evil.test!a@good.test>': '<evil.test!a@good.test>',
      '<"a@evil.test"@good.test>': '<"a@evil.test"@good.test>',
      '<"a>@evil.test"@good.test>': '<"a>@evil.test"@good.test>',
      '<a@GOOD.Test>': '<a@GOOD.Test>',
    };
    for (const [given, passedOn] of Object.entries(taken)) {
      it(`${given} goes to good.test`, async () => {
        const client = await lab.session();
        const index = lab.lab.mx('good.test').sessions.length;
        await client.command(`MAIL FROM:<${lab.sender()}>`);
        assert.match(await client.command(`RCPT TO:${given}`), /^250 2\.1\.5 recipient ok$/);
        const session = await lab.lab.mx('good.test').session(index);
        assert.equal(session.commands.at(-1), `RCPT TO:${passedOn}`);
        await client.command('RSET');
        client.close();
      });
    }

    const refused: Readonly<Record<string, RegExp>> = {
      '<a@evil.test>@good.test': /^501 /,
      '<a@evil.test@good.test>': /^501 /,
      '<a@good.test,b@evil.test>': /^501 /,
      '<a@good.test> <b@evil.test>': /^501 /,
      '<a@[127.0.1.2]>': /^550 5\.4\.4 .*\[waxseal rcpt\.address-literal \S+\]$/,
      '<a@[IPv6:::ffff:127.0.1.2]>': /^550 5\.4\.4 /,
      '<a@127.0.1.2>': /^501 /,
      '<a@0x7f000102>': /^501 /,
      '<a@evil.test.>': /^501 /,
      '<a@.evil.test>': /^501 /,
      '<a@evil..test>': /^501 /,
      '<a@-evil.test>': /^501 /,
      '<a@ev_il.test>': /^501 /,
      '<a@\xef\xbd\x85vil.test>': /^501 /,
      '<a@evil.test\xe2\x80\x8b>': /^501 /,
      '<postmaster>': /^550 5\.1\.2 /,
    };
    it('everything else is refused here', async () => {
      const client = await lab.session();
      await client.command(`MAIL FROM:<${lab.sender()}> SMTPUTF8`);
      for (const [given, expected] of Object.entries(refused)) {
        const reply = await client.command(`RCPT TO:${given}`);
        assert.match(reply, expected, given);
        assert.match(reply, OWN_REFUSAL, given);
      }
      await client.command('RSET');
      client.close();
    });

    it('and evil.test never heard of any of them', () => {
      assert.equal(lab.lab.mx('evil.test').sessions.length, 0);
    });
  });

  describe('row 42: too much of it', () => {
    const line = ` folded ${'x'.repeat(60)}\r\n`;
    const header = messageOf('much').toString().split('\r\n\r\n')[0] ?? '';
    const contents: Readonly<Record<string, readonly [string, RegExp]>> = {
      'a header of 10 MB': [
        `${header}\r\nX-Folded:\r\n${line.repeat((10 * MEBIBYTE) / line.length)}\r\nbody\r\n`,
        /^552 5\.3\.4 .*\[waxseal header\.size \S+\]$/,
      ],
      'one header field of 10 MB in one line': [
        `${header}\r\nX: ${'x'.repeat(10 * MEBIBYTE)}\r\n\r\nbody\r\n`,
        /^552 5\.3\.4 .*\[waxseal header\.size \S+\]$/,
      ],
      '65,536 header fields': [
        `${header}\r\n${'X: y\r\n'.repeat(65_536)}\r\nbody\r\n`,
        /^552 5\.3\.4 .*\[waxseal header\.fields \S+\]$/,
      ],
      'a line of 1 MB': [
        `${header}\r\n\r\n${'x'.repeat(MEBIBYTE)}\r\n`,
        /^550 5\.6\.0 .*\[waxseal content\.long-lines \S+\]$/,
      ],
      'a line of 10 MB': [
        `${header}\r\n\r\n${'x'.repeat(10 * MEBIBYTE)}\r\n`,
        /^550 5\.6\.0 .*\[waxseal content\.long-lines \S+\]$/,
      ],
    };
    for (const [name, [content, expected]] of Object.entries(contents)) {
      it(`${name}: is heard out and refused`, async () => {
        const before = arrived().length;
        const client = await lab.session();
        const sender = await inData(client);
        await flood(client, Buffer.from(`${content}.\r\n`), async () => {
          assert.match(await client.reply(), expected);
        });
        const record = await lab.record(sender);
        assert.equal(record.outcome, 'rejected');
        await lab.assertGoesOn(client, 'good.test');
        assert.equal(arrived().length, before + 1, 'only the message that came after');
        client.close();
      });
    }

    it('100,000 MIME parts are content like other', async () => {
      const parts = '--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n'.repeat(100_000);
      const client = await lab.session();
      const sender = await inData(client);
      const octets = Buffer.concat([messageOf('parts', parts), Buffer.from('.\r\n')]);
      await assertOthersServed(client, octets, async () => {
        assert.equal(await client.reply(), '250 2.0.0 queued');
      });
      assert.equal((await lab.record(sender)).outcome, 'accepted');
      client.close();
    });

    for (const mebibytes of [1, 10]) {
      it(`a command of ${mebibytes} MB: 500, and the session lives`, async () => {
        const client = await lab.session();
        const line = Buffer.alloc(mebibytes * MEBIBYTE, 'NOOP ');
        await flood(client, Buffer.concat([line, Buffer.from('\r\n')]), async () => {
          assert.match(await client.reply(), /^500 5\.5\.2 /);
        });
        await lab.assertGoesOn(client, 'good.test');
        client.close();
      });
    }
  });

  describe('row 43: too many of them', () => {
    it('10,000 recipients: 452 4.5.3 from the limit on, and the others get the message', async () => {
      const client = await lab.session();
      const sender = lab.sender();
      await client.command(`MAIL FROM:<${sender}>`);
      const heard = new Map<string, number>();
      const lines = Array.from({ length: 10_000 }, (_, i) => `RCPT TO:<r${i}@good.test>\r\n`);
      await assertOthersServed(client, Buffer.from(lines.join('')), async () => {
        for (let index = 0; index < lines.length; index += 1) {
          const code = (await client.reply()).slice(0, 9);
          heard.set(code, (heard.get(code) ?? 0) + 1);
        }
      });
      assert.deepEqual(Object.fromEntries(heard), { '250 2.1.5': 500, '452 4.5.3': 9500 });
      await client.command('DATA');
      client.write(messageOf('many'));
      assert.equal(await client.command('.'), '250 2.0.0 queued');
      const record = await lab.record(sender);
      assert.equal((record.recipients as unknown[]).length, 100);
      assert.equal(record.recipientsNotListed, 400);
      client.close();
    });

    it('100,000 NOOPs in one write', async () => {
      const client = await lab.session();
      await assertOthersServed(client, Buffer.from('NOOP\r\n'.repeat(100_000)), async () => {
        for (let index = 0; index < 100_000; index += 1) {
          const reply = await client.reply();
          if (!reply.startsWith('250 2.0.0 ')) assert.fail(reply);
        }
      });
      await lab.assertGoesOn(client, 'good.test');
      client.close();
    });

    it('a declared size over the limit: 552 at MAIL, and nobody is asked', async () => {
      const client = await lab.session();
      const sessions = lab.lab.mx('good.test').sessions.length;
      const sender = lab.sender();
      const reply = await client.command(`MAIL FROM:<${sender}> SIZE=999999999999`);
      assert.match(reply, /^552 5\.3\.4 .*\[waxseal mail\.size \S+\]$/);
      assert.equal((await lab.record(sender)).outcome, 'rejected');
      assert.equal(lab.lab.mx('good.test').sessions.length, sessions);
      client.close();
    });

    it('a declared size that is too small changes nothing', async () => {
      const client = await lab.session();
      const sender = lab.sender();
      const content = messageOf('larger than said', 'x\r\n'.repeat(1000));
      const heard = await lab.deliver(client, sender, 'a@good.test', content, ' SIZE=10');
      assert.deepEqual(heard, { at: '.', reply: '250 2.0.0 queued' });
      client.close();
    });

    it('content over the limit that was not declared: 552 at the dot', async () => {
      const client = await lab.session();
      const before = arrived().length;
      const sender = await inData(client);
      const content = messageOf('too large', 'a line of it\r\n'.repeat(MEBIBYTE));
      const octets = Buffer.concat([content, Buffer.from('.\r\n')]);
      await assertOthersServed(client, octets, async () => {
        assert.match(await client.reply(), /^552 5\.3\.4 .*\[waxseal content\.size \S+\]$/);
      });
      const record = await lab.record(sender);
      assert.equal(record.outcome, 'rejected', 'a client that hears 552 does not come again');
      assert.match(String(record.reply), /^552 5\.3\.4 /);
      await lab.assertGoesOn(client, 'good.test');
      assert.equal(arrived().length, before + 1);
      client.close();
    });
  });

  describe('in the end', () => {
    it('left exactly one record of each transaction', () => lab.assertOneRecordEach());
  });
});
