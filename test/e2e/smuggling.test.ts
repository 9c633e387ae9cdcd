import assert from 'node:assert/strict';
import { SIGNER } from '../support/client-lab.ts';
import { type FakeDns, startDns } from '../support/dns.ts';
import { requirePeer } from '../support/peers.ts';
import { PostfixMx } from '../support/postfix-mx.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { Waxseal } from '../support/waxseal.ts';

/*
 * SMTP smuggling: what one server takes for an end of data and the next one does not. The MX is a
 * real Postfix, set to be as generous with line ends as it can be.
 */

/** Sequences that some server takes, or took, for an end of data. */
const SEQUENCES: readonly string[] = [
  // Line ends of one octet, on either side of the dot, and both.
  ...['\n.\n', '\r.\r', '\n.\r', '\r.\n', '\n.\r\n', '\r\n.\n', '\r.\r\n', '\r\n.\r'],
  // Doubled and mixed ones.
  ...['\n\n.\n\n', '\r\r.\r\r', '\n\r.\n\r', '\r\r\n.\r\r\n', '\r\n.\r\r\n'],
  ...['\r\n\n.\r\n', '\r\n.\n\r\n', '\r\n\r.\r\n', '\r\n.\r\r\n\r\n', '\n\r\n.\n\r\n'],
  // Octets that are dropped, or taken for space or for a line end, by somebody.
  ...['\r\n\0.\r\n', '\r\n.\0\r\n', '\r\n.\r\0\n', '\r\0\n.\r\0\n', '\n\0.\n'],
  ...['\r\n .\r\n', '\r\n. \r\n', '\r\n.\t\r\n', '\r\n.\x0b\r\n', '\r\n.\x0c\r\n', '\r\n.\x1a\r\n'],
  ...[
    '\r\n\x08.\r\n',
    '\r\n.\x7f\r\n',
    '\x85.\x85',
    '\r\n\x85.\x85\r\n',
    '\xe2\x80\xa8.\xe2\x80\xa8',
  ],
  // Dots that are doubled, coded, or look like one.
  ...['\r\n..\r\n', '\n..\n', '\r\n...\r\n', '\n..\r\n', '\r\n..\n', '\r\n.\n.\r', '\r..\r'],
  ...[
    '\r\n=2E\r\n',
    '\r\n\xe3\x80\x82\r\n',
    '\r\n\xef\xbc\x8e\r\n',
    '\r\n\xb7\r\n',
    '\r\n&#46;\r\n',
  ],
];
/** What follows in the hope of being a message of its own. */
const SMUGGLED = `MAIL FROM:<evil@${SIGNER}>\r\nRCPT TO:<victim@sink.test>\r\nDATA\r\nFrom: admin@${SIGNER}\r\nSubject: smuggled\r\n\r\nevil\r\n`;

function messageWith(subject: string, sequence: string): string {
  const header = `From: author@${SIGNER}\r\nTo: a@sink.test\r\nSubject: ${subject}\r\n`;
  return `${header}\r\nbefore${sequence}${SMUGGLED}.\r\n`;
}

const hasStray = (text: string) => /\r(?!\n)|(?<!\r)\n/.test(text);

describe('SMTP smuggling towards a real Postfix', function () {
  this.timeout(120_000);
  let mx: PostfixMx;
  let dns: FakeDns;
  let waxseal: Waxseal;

  before(async function () {
    const names = ['a', 'b', 'dots', 'victim', 'control', 'controlled'];
    const mailboxes = Object.fromEntries(names.map((name) => [`${name}@sink.test`, name]));
    const mainCf = 'smtpd_forbid_bare_newline = no\nsmtpd_forbid_unauth_pipelining = no\n';
    mx = await PostfixMx.start(requirePeer(this, 'postfix'), mailboxes, { mainCf });
    dns = await startDns({
      'sink.test': { MX: [[10, 'mx.sink.test']] },
      'mx.sink.test': { A: ['127.0.0.1'] },
    });
    waxseal = await Waxseal.start(
      {
        dns: { servers: [dns.server] },
        relay: { port: mx.port, allowPrivate: true, ehloName: 'relay.example.net' },
      },
      [SIGNER],
    );
  });
  after(async () => {
    await waxseal?.stop();
    await mx?.stop();
    await dns?.close();
  });

  /** Sends each sequence in a message of its own. @returns the reply to each */
  async function sendAll(to: string): Promise<string[]> {
    const client = await RawClient.session(waxseal.port);
    const replies: string[] = [];
    for (const [index, sequence] of SEQUENCES.entries()) {
      await client.command(`MAIL FROM:<${to}${index}@${SIGNER}>`);
      assert.match(await client.command(`RCPT TO:<${to}@sink.test>`), /^250 /);
      assert.match(await client.command('DATA'), /^354 /);
      client.write(messageWith(`${to} ${index}`, sequence));
      replies.push(await client.reply());
      assert.match(await client.command('NOOP'), /^250 2\.0\.0 /, JSON.stringify(sequence));
    }
    await client.command('QUIT');
    return replies;
  }

  async function assertNothingSmuggled(to: string, replies: readonly string[]): Promise<void> {
    const mine = () =>
      waxseal.transactions.filter(({ reversePath }) => String(reversePath).startsWith(to));
    await waitFor('all records', () => mine().length >= SEQUENCES.length);
    assert.equal(mine().length, SEQUENCES.length);
    assert.equal(
      waxseal.transactions.some(({ reversePath }) => String(reversePath).startsWith('evil')),
      false,
    );
    await mx.untilIdle();
    const stored = await mx.stored(to);
    assert.equal(stored.length, replies.filter((reply) => reply.startsWith('250')).length);
    for (const message of stored) {
      assert.ok(message.includes(SMUGGLED), 'what was to be smuggled is text of the one message');
    }
    assert.deepEqual(await mx.stored('victim'), []);
    const log = await mx.log();
    assert.doesNotMatch(log, /from=<evil@/);
  }

  it('works when the same octets go to this Postfix directly', async () => {
    const client = await RawClient.connect(mx.port);
    await client.reply();
    await client.command('EHLO client.test');
    await client.command(`MAIL FROM:<a@${SIGNER}>`);
    await client.command('RCPT TO:<control@sink.test>');
    await client.command('DATA');
    client.write(
      messageWith('control', '\n.\n').replace('victim', 'controlled').replace('evil', 'x'),
    );
    const heard: string[] = [];
    for (let index = 0; index < 5; index += 1) heard.push((await client.reply()).slice(0, 3));
    assert.deepEqual(heard, ['250', '250', '250', '354', '250']);
    assert.ok((await mx.storedWith('controlled', 'smuggled')).length > 0);
    client.close();
  });

  it('does not when Waxseal stands between, which mends line ends', async () => {
    const replies = await sendAll('a');
    for (const [index, sequence] of SEQUENCES.entries()) {
      const expected = sequence.includes('\0') ? /^550 5\.6\.0 / : /^250 2\.0\.0 /;
      assert.match(replies[index] ?? '', expected, JSON.stringify(sequence));
    }
    await assertNothingSmuggled('a', replies);
  });

  it('nor when Waxseal refuses stray line ends', async () => {
    await waxseal.configure({ content: { strayLineEnds: 'refuse' } });
    await waxseal.end();
    waxseal.records.length = 0;
    await waxseal.serve();
    const replies = await sendAll('b');
    for (const [index, sequence] of SEQUENCES.entries()) {
      const expected = sequence.includes('\0')
        ? /^550 5\.6\.0 /
        : hasStray(sequence)
          ? /^550 5\.6\.11 .*\[waxseal content\.stray-line-ends \S+\]$/
          : /^250 2\.0\.0 /;
      assert.match(replies[index] ?? '', expected, JSON.stringify(sequence));
    }
    await assertNothingSmuggled('b', replies);
  });

  it('lines of a lone dot, over many pieces of a spooled message, arrive as such', async () => {
    const client = await RawClient.session(waxseal.port);
    // Lines of all lengths, so that dots stand at each place around the ends of pieces.
    const lines = Array.from({ length: 30_000 }, (_, index) => `${'x'.repeat(index % 97)}\r\n.`);
    const body = `${lines.join('\r\n')}\r\n`;
    const header = `From: author@${SIGNER}\r\nTo: a@sink.test\r\nSubject: dots\r\n\r\n`;
    const reply = await client.send(
      `dots@${SIGNER}`,
      ['dots@sink.test'],
      Buffer.from(`${header}${body}`),
    );
    assert.match(reply, /^250 2\.0\.0 /);
    const stored = (await mx.storedWith('dots', 'dots')).toString('latin1');
    assert.ok(stored.endsWith(`\r\n\r\n${body}`));
    client.close();
  });
});
