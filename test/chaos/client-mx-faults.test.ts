import assert from 'node:assert/strict';
import { ClientLab, type Heard, messageOf } from '../support/client-lab.ts';
import type { LabDomain } from '../support/mail-lab.ts';
import type { MxScript, MxSession } from '../support/mx.ts';
import { testCertificate } from '../support/mx-certificate.ts';

/*
 * Rows of the fault matrix that an MX causes, from the client's socket through the process to the
 * MX's socket: what the client hears, what the MX got, and the record in the log.
 */

/** Larger than what stands in memory and in socket buffers, so that it is still being sent. */
const BIG = messageOf('big', 'a line of the body\r\n'.repeat(800_000));
const SMALL = messageOf('small');
const CERTIFICATE = testCertificate('elsewhere.test');

type OnContent = NonNullable<MxScript['content']>;

interface Fault extends LabDomain {
  readonly at: Heard['at'];
  readonly heard: RegExp;
  readonly outcome: RegExp;
  readonly content?: Buffer;
  readonly parameters?: string;
  /** Parts of the record's `remote`. */
  readonly tls?: RegExp;
}

/** Says something once, as soon as the first octet of content is there. */
function amid(words: string): OnContent {
  return (session) => {
    if (session.content.length > 0 && !session.commands.includes('(said)')) {
      session.commands.push('(said)');
      session.write(words);
    }
  };
}

function resetAt(octets: number): OnContent {
  return (session) => {
    if (session.content.length >= octets) session.reset();
  };
}

const none = { extensions: [] };
const deferred = /^deferred$/;
const rejected = /^rejected$/;
const inDoubt = /^in-doubt$/;
const accepted = /^accepted$/;
const untrusted = /^451 4\.5\.0 .*\[waxseal relay\.\S+ \S+\]$/s;
const lost = /^451 4\.4\.2 .*\[waxseal relay\.\S+ \S+\]$/s;

const FAULTS: Readonly<Record<string, Fault>> = {
  'row 9: 421 as greeting': {
    script: { greeting: '421 4.3.2 busy' },
    at: 'RCPT',
    heard: /^451-4\.4\.1 .*\n451 4\.4\.1 .*busy.*\[waxseal relay\.no-host \S+\]$/,
    outcome: deferred,
  },
  'row 9: 554 as greeting': {
    script: { greeting: '554 5.7.1 not from there' },
    at: 'RCPT',
    heard: /^554 5\.7\.1 not from there$/,
    outcome: rejected,
  },
  'row 11: STARTTLS refused, then plain text': {
    script: { starttls: '454 4.7.0 not now' },
    options: { tls: CERTIFICATE },
    at: '.',
    heard: /^250 2\.0\.0 queued$/,
    outcome: accepted,
    tls: /^none$/,
  },
  'row 11: handshake dropped, then plain text': {
    script: {
      starttls: (session) => {
        session.write('220 ready\r\n');
        session.drop();
        return undefined;
      },
    },
    options: { tls: CERTIFICATE },
    at: '.',
    heard: /^250 2\.0\.0 queued$/,
    outcome: accepted,
    tls: /^none$/,
  },
  'row 11: a certificate of somebody else': {
    options: { tls: CERTIFICATE },
    at: '.',
    heard: /^250 2\.0\.0 queued$/,
    outcome: accepted,
    tls: /^TLSv1\.3 \S+ unverified$/,
  },
  'row 13: octets behind the answer to STARTTLS': {
    script: { starttls: '220 ready\r\n250 mx.test\r\n' },
    options: { tls: CERTIFICATE },
    at: 'RCPT',
    heard: /^451-4\.7\.5 .*\n451 4\.7\.5 .*STARTTLS.*\[waxseal relay\.tls \S+\]$/,
    outcome: deferred,
  },
  'row 14: MAIL refused for now': {
    script: { mail: '451 4.3.0 later' },
    at: 'RCPT',
    heard: /^451 4\.3\.0 later$/,
    outcome: deferred,
  },
  'row 14: MAIL refused for good': {
    script: { mail: '550-5.7.1 no\r\n550 5.7.1 never\r\n' },
    at: 'RCPT',
    heard: /^550-5\.7\.1 no\n550 5\.7\.1 never$/,
    outcome: rejected,
  },
  'row 15: RCPT 450': {
    script: { rcpt: '450 4.2.1 greylisted' },
    at: 'RCPT',
    heard: /^450 4\.2\.1 greylisted$/,
    outcome: deferred,
  },
  'row 15: RCPT 550, without an enhanced code': {
    script: { rcpt: '550 no such user' },
    at: 'RCPT',
    heard: /^550 5\.0\.0 no such user$/,
    outcome: rejected,
  },
  'row 15: RCPT 421 is 451 to the client, whose session lives': {
    script: { rcpt: '421 4.3.2 going away' },
    at: 'RCPT',
    heard: /^451 4\.3\.2 going away$/,
    outcome: deferred,
  },
  'row 23: DATA 451': {
    script: { data: '451 4.3.1 no room' },
    at: 'DATA',
    heard: /^451 4\.3\.1 no room$/,
    outcome: deferred,
  },
  'row 23: DATA 554': {
    script: { data: '554 5.5.1 no' },
    at: 'DATA',
    heard: /^554 5\.5\.1 no$/,
    outcome: rejected,
  },
  'row 23: DATA 250': {
    script: { data: '250 2.0.0 ok' },
    at: 'DATA',
    heard: untrusted,
    outcome: deferred,
  },
  'row 23: DATA garbage': {
    script: { data: 'go ahead!' },
    at: 'DATA',
    heard: untrusted,
    outcome: deferred,
  },
  'row 24: reset at the first octet': {
    script: { content: resetAt(1) },
    content: BIG,
    at: '.',
    heard: lost,
    outcome: deferred,
  },
  'row 24: reset half-way': {
    script: { content: resetAt(4_000_000) },
    content: BIG,
    at: '.',
    heard: lost,
    outcome: /^deferred$|^in-doubt$/,
  },
  'row 24: reset at the last octet': {
    script: {
      content: (session) => {
        if (session.content.subarray(-5).toString() === '\r\n.\r\n') session.reset();
      },
      dot: () => undefined,
    },
    at: '.',
    heard: lost,
    outcome: inDoubt,
  },
  'row 25: a refusal amid the content': {
    script: { content: amid('552 5.2.2 mailbox full\r\n') },
    content: BIG,
    at: '.',
    heard: /^552 5\.2\.2 mailbox full$/,
    outcome: rejected,
  },
  'row 25: 421 amid the content': {
    script: { content: amid('421 4.3.2 going down\r\n') },
    content: BIG,
    at: '.',
    heard: /^451 4\.\d\.\d .*going down/,
    outcome: deferred,
  },
  'row 26: an MX that reads nothing': {
    script: {
      data: (session) => {
        session.pause();
        return '354 go';
      },
    },
    content: BIG,
    at: '.',
    heard: /^451 4\.4\.2 .*\[waxseal relay\.timeout \S+\]$/s,
    outcome: deferred,
  },
  'row 27: dot 4xx, verbatim': {
    script: { dot: '452-4.2.2 over quota\r\n452 4.2.2 ask again\r\n' },
    at: '.',
    heard: /^452-4\.2\.2 over quota\n452 4\.2\.2 ask again$/,
    outcome: deferred,
  },
  'row 27: dot 5xx, verbatim': {
    script: { dot: '554-5.7.1 Spam? See\r\n554-5.7.1 https://mx.test/why\r\n554 5.7.1 [7]\r\n' },
    at: '.',
    heard: /^554-5\.7\.1 Spam\? See\n554-5\.7\.1 https:\/\/mx\.test\/why\n554 5\.7\.1 \[7\]$/,
    outcome: rejected,
  },
  'row 29: FIN behind the dot': {
    script: { dot: (session) => session.drop() as undefined },
    at: '.',
    heard: lost,
    outcome: inDoubt,
  },
  'row 29: RST behind the dot': {
    script: { dot: (session) => session.reset() as undefined },
    at: '.',
    heard: lost,
    outcome: inDoubt,
  },
  'row 30: 421 behind the dot': {
    script: { dot: '421 4.3.2 closing' },
    at: '.',
    heard: /^451 4\.3\.2 closing$/,
    outcome: deferred,
  },
  'row 31: endless lines for RCPT': {
    script: { rcpt: Buffer.from('250-and\r\n'.repeat(200_000)) },
    at: 'RCPT',
    heard: untrusted,
    outcome: deferred,
  },
  'row 31: a line of 10 MB for RCPT': {
    script: { rcpt: Buffer.alloc(10_000_000, '250 x') },
    at: 'RCPT',
    heard: untrusted,
    outcome: deferred,
  },
  'row 31: an endless line for the dot': {
    script: { dot: Buffer.alloc(10_000_000, '250 x') },
    at: '.',
    heard: untrusted,
    outcome: inDoubt,
  },
  'row 31: a reply that trickles': {
    script: { rcpt: trickle },
    at: 'RCPT',
    heard: /^451 4\.4\.2 .*\[waxseal relay\.timeout \S+\]$/s,
    outcome: deferred,
  },
  'row 33: differing codes for RCPT': {
    script: { rcpt: '250-ok\r\n550 no\r\n' },
    at: 'RCPT',
    heard: untrusted,
    outcome: deferred,
  },
  'row 33: differing codes for the dot': {
    script: { dot: '250-ok\r\n550 no\r\n' },
    at: '.',
    heard: untrusted,
    outcome: inDoubt,
  },
  'row 33: a code of two digits': {
    script: { dot: '25\r\n' },
    at: '.',
    heard: untrusted,
    outcome: inDoubt,
  },
  'row 33: 999': {
    script: { dot: '999 ok' },
    at: '.',
    heard: untrusted,
    outcome: inDoubt,
  },
  'row 33: an empty line': {
    script: { rcpt: '\r\n' },
    at: 'RCPT',
    heard: untrusted,
    outcome: deferred,
  },
  'row 34: 250 along with 354': {
    script: { data: '354 go\r\n250 2.0.0 queued\r\n' },
    at: 'DATA',
    heard: untrusted,
    outcome: deferred,
  },
  'row 34: 250 amid the content': {
    script: { content: amid('250 2.0.0 queued\r\n') },
    content: BIG,
    at: '.',
    heard: untrusted,
    outcome: deferred,
  },
  'row 44: no 8BITMIME': {
    options: none,
    parameters: ' BODY=8BITMIME',
    at: 'RCPT',
    heard: /^550 5\.6\.3 .*\[waxseal relay\.8bitmime \S+\]$/,
    outcome: rejected,
  },
  'row 44: no SMTPUTF8': {
    options: none,
    parameters: ' SMTPUTF8',
    at: 'RCPT',
    heard: /^550 5\.6\.7 .*\[waxseal relay\.smtputf8 \S+\]$/,
    outcome: rejected,
  },
  'row 44: SIZE too small, our fields included': {
    options: { extensions: ['SIZE 5000'] },
    parameters: ' SIZE=4990',
    at: 'RCPT',
    heard: /^552 5\.3\.4 .*\[waxseal relay\.size \S+\]$/,
    outcome: rejected,
  },
};

/** An octet now and then, for as long as the connection stands. */
function trickle(session: MxSession): undefined {
  session.write('250 ');
  const timer = setInterval(() => session.write('x'), 100);
  void session.closed.then(() => clearInterval(timer));
  return undefined;
}

const domainOf = (index: number) => `fault${index}.test`;

describe('an MX with faults, as the client sees it', function () {
  this.timeout(60_000);
  let lab: ClientLab;

  before(async () => {
    const cases = Object.values(FAULTS).map(({ script, options }, index) => [
      domainOf(index),
      {
        ...(script === undefined ? {} : { script }),
        ...(options === undefined ? {} : { options }),
      },
    ]);
    lab = await ClientLab.start(
      { ...Object.fromEntries(cases), 'good.test': {}, 'other.test': {}, 'drops.test': {} },
      ({ mxPort }) => ({
        relay: {
          port: mxPort,
          allowPrivate: true,
          ehloName: 'relay.example.net',
          rcptBudgetMs: 4000,
          finalDotBudgetMs: 6000,
        },
        spool: { messageMemoryBytes: 100_000 },
      }),
    );
  });
  after(() => lab?.stop());

  for (const [index, [name, fault]] of Object.entries(FAULTS).entries()) {
    it(name, async () => {
      const client = await lab.session();
      const sender = lab.sender();
      const to = `a@${domainOf(index)}`;
      const { content = SMALL, parameters } = fault;
      const { at, reply } = await lab.deliver(client, sender, to, content, parameters);
      assert.match(reply, fault.heard);
      assert.equal(at, fault.at);
      await lab.assertGoesOn(client, 'good.test');
      const record = await lab.record(sender);
      assert.match(String(record.outcome), fault.outcome);
      const [recipient, ...more] = record.recipients as { address: string; outcome: string }[];
      assert.deepEqual([recipient?.address, more.length], [to, 0]);
      assert.match(String(recipient?.outcome), fault.outcome);
      const remote = record.remote as { tls: string } | undefined;
      if (fault.tls !== undefined) assert.match(remote?.tls ?? '', fault.tls);

      const { sessions, contents } = lab.lab.mx(domainOf(index));
      if (at !== '.') assert.ok(sessions.every((session) => session.content.length === 0));
      const isWhole = record.outcome === 'accepted' || fault.script?.dot !== undefined;
      if (isWhole) assert.equal(contents.length, 1, 'sent once');
      else if (record.outcome === 'deferred') assert.deepEqual(contents, [], 'no dot was sent');
      client.close();
    });
  }

  it('row 16: three recipients, three answers; the message goes to the one', async () => {
    const answers = ['250 2.1.5 yes', '450 4.2.1 later', '550 5.1.1 never'];
    const mx = lab.lab.mx('other.test');
    mx.script = { rcpt: (_session, line) => answers[Number(line.at(9))] };
    const client = await lab.session();
    const sender = lab.sender();
    await client.command(`MAIL FROM:<${sender}>`);
    for (const [index, answer] of answers.entries()) {
      assert.equal(await client.command(`RCPT TO:<${index}@other.test>`), answer);
    }
    assert.match(await client.command('DATA'), /^354 /);
    client.write(SMALL);
    assert.equal(await client.command('.'), '250 2.0.0 queued');
    const record = await lab.record(sender);
    assert.equal(record.outcome, 'accepted');
    assert.deepEqual(
      (record.recipients as { outcome: string }[]).map(({ outcome }) => outcome),
      ['accepted', 'deferred', 'rejected'],
    );
    assert.equal(mx.contents.length, 1);
    assert.match(mx.contents[0] ?? '', /\sfor <0@other\.test>/);
    mx.script = {};
    client.close();
  });

  it('row 17: a second destination hears 452 4.5.3 and takes nothing from the first', async () => {
    const client = await lab.session();
    const sender = lab.sender();
    const before = lab.lab.mx('other.test').sessions.length;
    await client.command(`MAIL FROM:<${sender}>`);
    assert.match(await client.command('RCPT TO:<a@good.test>'), /^250 /);
    const second = await client.command('RCPT TO:<b@other.test>');
    assert.match(second, /^452 4\.5\.3 .*\[waxseal rcpt\.one-destination \S+\]$/);
    assert.match(await client.command('RCPT TO:<c@good.test>'), /^250 /);
    assert.match(await client.command('DATA'), /^354 /);
    client.write(SMALL);
    assert.equal(await client.command('.'), '250 2.0.0 queued');
    assert.equal(lab.lab.mx('other.test').sessions.length, before, 'nobody asked the second MX');
    const record = await lab.record(sender);
    assert.deepEqual(
      (record.recipients as { outcome: string }[]).map(({ outcome }) => outcome),
      ['accepted', 'deferred', 'accepted'],
    );
    client.close();
  });

  it('row 17: pipelined recipients of two destinations get their own answers', async () => {
    const client = await lab.session();
    const sender = lab.sender();
    const lines = ['good', 'other', 'good'].map((name, i) => `RCPT TO:<${i}@${name}.test>\r\n`);
    client.write(`MAIL FROM:<${sender}>\r\n${lines.join('')}DATA\r\n`);
    const heard: string[] = [];
    for (let index = 0; index < 5; index += 1) heard.push((await client.reply()).slice(0, 9));
    assert.deepEqual(heard.slice(0, 4), ['250 2.1.0', '250 2.1.5', '452 4.5.3', '250 2.1.5']);
    assert.match(heard[4] ?? '', /^354 /);
    client.write(SMALL);
    assert.equal(await client.command('.'), '250 2.0.0 queued');
    client.close();
  });

  it('row 17: a second destination is taken when the first one refused', async () => {
    const good = lab.lab.mx('good.test');
    const refusing = Object.keys(FAULTS).findIndex((name) => name.startsWith('row 15: RCPT 550'));
    const client = await lab.session();
    const sender = lab.sender();
    const before = good.contents.length;
    await client.command(`MAIL FROM:<${sender}>`);
    assert.match(await client.command(`RCPT TO:<a@${domainOf(refusing)}>`), /^550 /);
    assert.match(await client.command('RCPT TO:<b@good.test>'), /^250 /);
    assert.match(await client.command('DATA'), /^354 /);
    client.write(SMALL);
    assert.equal(await client.command('.'), '250 2.0.0 queued');
    assert.equal(good.contents.length, before + 1);
    const record = await lab.record(sender);
    assert.equal(record.outcome, 'accepted');
    assert.equal((record.remote as { host: string }).host, 'mx.good.test');
    client.close();
  });

  for (const times of [1, 2]) {
    it(`row 18: lost ${times}× while the client uploads`, async () => {
      const mx = lab.lab.mx('drops.test');
      const first = mx.sessions.length;
      mx.script = {
        data: (session) => {
          if (mx.sessions.indexOf(session) >= first + times) return '354 go';
          session.write('354 go\r\n');
          session.drop();
          return undefined;
        },
      };
      const client = await lab.session();
      const sender = lab.sender();
      await client.command(`MAIL FROM:<${sender}>`);
      await client.command('RCPT TO:<a@drops.test>');
      assert.match(await client.command('DATA'), /^354 /);
      client.write(SMALL);
      await (await mx.session(first)).closed;
      const before = mx.contents.length;
      const reply = await client.command('.');
      const record = await lab.record(sender);
      if (times === 1) {
        assert.equal(reply, '250 2.0.0 queued');
        assert.equal(mx.contents.length, before + 1);
        assert.equal(record.outcome, 'accepted');
      } else {
        assert.match(reply, lost);
        assert.equal(mx.contents.length, before);
      }
      await lab.assertGoesOn(client, 'good.test');
      client.close();
    });
  }

  it('row 35: a client that vanishes amid its content leaves no octet at the MX', async () => {
    const good = lab.lab.mx('good.test');
    const index = good.sessions.length;
    const client = await lab.session();
    const sender = lab.sender();
    await client.command(`MAIL FROM:<${sender}>`);
    await client.command('RCPT TO:<a@good.test>');
    await client.command('DATA');
    client.write(SMALL);
    client.close();
    const session = await good.session(index);
    await session.closed;
    assert.equal(session.content.length, 0);
    const record = await lab.record(sender);
    assert.equal(record.outcome, 'deferred');
    assert.equal(record.ended, 'connection-lost');
  });

  it('row 36: a client that vanishes behind its dot does not hinder the delivery', async () => {
    const mx = lab.lab.mx('other.test');
    const { promise, resolve } = Promise.withResolvers<void>();
    mx.script = {
      dot: async () => {
        await promise;
        return '250 2.0.0 late';
      },
    };
    const index = mx.sessions.length;
    const client = await lab.session();
    const sender = lab.sender();
    await client.command(`MAIL FROM:<${sender}>`);
    await client.command('RCPT TO:<a@other.test>');
    await client.command('DATA');
    client.write(Buffer.concat([SMALL, Buffer.from('.\r\n')]));
    const session = await mx.session(index);
    await session.until(() => session.contents.length === 1);
    client.close();
    const other = await lab.session();
    await lab.assertGoesOn(other, 'good.test');
    other.close();
    resolve();
    const record = await lab.record(sender);
    assert.equal(record.outcome, 'accepted');
    assert.equal(record.reply, '250 2.0.0 late');
    mx.script = {};
  });

  it('left exactly one record of each transaction', () => lab.assertOneRecordEach());
});
