import assert from 'node:assert/strict';
import { ClientLab } from '../support/client-lab.ts';
import { FAULTS, lost, SMALL } from './client-mx-fault-rows.ts';

/*
 * Rows of the fault matrix that an MX causes, from the client's socket through the process to the
 * MX's socket: what the client hears, what the MX got, and the record in the log.
 */

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
