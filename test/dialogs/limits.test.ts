import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { localReply } from '../../src/mail/reply.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { waitFor } from '../support/wait-for.ts';
import { ok, openStage, RawClient, type Stage, type StageOptions } from './dialog.ts';

describe('bounds of a session', () => {
  let stage: Stage;
  const open = async (options: StageOptions = {}) => {
    stage = await openStage(options);
    return stage;
  };
  afterEach(async () => {
    await stage.close();
    assert.deepEqual(stage.faults, []);
  });

  it('refuses a client that is not in the list, where there is no other way in', async () => {
    await open({ allow: ['192.0.2.0/24'] });
    const client = await stage.client();
    assert.match(client.last, /^554 5\.7\.1 .*clients\.allow \[waxseal client\.allowed \w+\]$/);
    await client.closed();
  });

  it('answers a session too many with 421', async () => {
    await open({ limits: { sessions: 2 } });
    const first = await stage.client();
    await stage.client();
    const third = await stage.client();
    assert.match(third.last, /^421 4\.3\.2 /);
    await third.closed();
    await first.say('QUIT');
    await first.closed();
    assert.match((await stage.client()).last, /^220 /);
  });

  it('greets one session too many of a client and refuses its MAIL for as long', async () => {
    await open({ limits: { sessionsPerClient: 1 } });
    const first = await stage.greeted();
    const second = await stage.greeted();
    await second.expect('MAIL FROM:<>', '451 4.3.2');
    await first.expect('MAIL FROM:<>', '250');
    await first.say('QUIT');
    await first.closed();
    await second.expect('MAIL FROM:<>', '250');
  });

  it('answers recipients over the limit with 452, ten thousand of them', async () => {
    await open({ limits: { recipients: 100 } });
    const client = await stage.greeted();
    client.send(`MAIL FROM:<>\r\n${'RCPT TO:<x@x.example>\r\n'.repeat(10_000)}DATA\r\n`);
    await client.next('250');
    for (let count = 0; count < 10_000; count += 1) {
      await client.next(count < 100 ? '250 2.0.0 rcpt' : '452 4.5.3');
    }
    await client.next('354');
    assert.equal(stage.calls.filter((call) => call.startsWith('rcpt')).length, 100);
  });

  it('answers 100,000 NOOPs, and stops reading while the replies are not read', async () => {
    await open();
    const client = await stage.greeted();
    client.socket.pause();
    const all = Buffer.from('NOOP\r\n'.repeat(100_000));
    client.send(all);
    for (let turn = 0; turn < 300; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    client.socket.resume();
    for (let count = 0; count < 100_000; count += 1) await client.reply();
    await client.expect('NOOP', '250');
  });

  it('answers a line that is too long with 500 and drops it, however it comes', async () => {
    await open();
    const client = await stage.greeted();
    await client.expect(`NOOP ${'x'.repeat(2043)}`, '250');
    await client.expect(`NOOP ${'x'.repeat(2044)}`, '500 5.5.2');
    client.send(`NOOP ${'x'.repeat(1_000_000)}`);
    client.send('x\r');
    client.send('\nNOOP\r\n');
    await client.next('500 5.5.2');
    await client.next('250');
    await client.expect(`RCPT TO:<${'x'.repeat(3000)}@x.example>`, '500 5.5.2');
    assert.equal(client.unread, '');
  });

  it('closes with 421 after too many commands that make no sense', async () => {
    await open({ limits: { protocolErrors: 4 } });
    const client = await stage.greeted();
    client.send('FOO\r\nBAR\r\nMAIL FROM:<a@b@c>\r\nMAIL\r\nBAZ\r\nMAIL FROM:<>\r\n');
    await client.next('500 5.5.2');
    await client.next('500 5.5.2');
    await client.next('501 5.1.7');
    await client.next('501 5.5.4');
    await client.next('421 4.7.0');
    await client.closed();
    assert.deepEqual(stage.calls, []);
  });

  it('closes with 421 on a client that is not allowed and goes on with MAIL', async () => {
    await open({ limits: { protocolErrors: 3 } });
    stage.script.mail = () => localReply(530, '5.7.0', 'client.allowed', 'Authenticate first');
    const client = await stage.greeted();
    client.send('MAIL FROM:<a@a.example>\r\n'.repeat(1000));
    await client.next('530 5.7.0');
    await client.next('530 5.7.0');
    await client.next('421 4.7.0');
    await client.closed();
    assert.equal(stage.calls.filter((call) => call.startsWith('mail')).length, 3);
  });

  it('does not count other refusals of MAIL, which a busy client may get in numbers', async () => {
    await open({ limits: { protocolErrors: 3 } });
    const client = await stage.greeted();
    for (const code of [451, 552, 550]) {
      stage.script.mail = () => localReply(code, undefined, 'mail.test', 'no');
      for (let count = 0; count < 4; count += 1) await client.expect('MAIL FROM:<>', `${code} `);
    }
    await client.expect('NOOP', '250');
  });

  it('does not count what only an address or an MX is to blame for', async () => {
    await open({ limits: { protocolErrors: 4 } });
    const client = await stage.greeted();
    await client.say('MAIL FROM:<>');
    for (let count = 0; count < 10; count += 1) {
      await client.expect('RCPT TO:<x@-.example>', '501 5.1.3');
    }
    await client.expect('NOOP', '250');
  });

  it('closes on a request of a web browser', async () => {
    await open();
    const client = await stage.client();
    await client.expect('POST / HTTP/1.1', '421 4.7.0');
    await client.closed();
  });

  it('knows only CRLF as the end of a command', async () => {
    await open();
    const client = await stage.greeted();
    await client.expect('MAIL FROM:<a@b.example>\nRCPT TO:<c@d.example>', '501 5.5.4');
    await client.expect('MAIL FROM:<a@b.example>\rRCPT TO:<c@d.example>', '501 5.5.4');
    await client.expect('NOOP\0', '500 5.5.2');
    assert.deepEqual(stage.calls, []);
  });

  it('hears a client that talks before the greeting', async () => {
    await open();
    const client = new RawClient(connect(stage.port, '127.0.0.1'));
    client.send('EHLO eager\r\nNOOP\r\n');
    await client.next('220');
    await client.next('250-relay.example');
    await client.next('250 2.0.0');
    client.destroy();
  });

  describe('time', () => {
    const clock = () => new ManualClock();

    it('closes with 421 when a client owes us a command for too long', async () => {
      const time = clock();
      await open({ clock: time, limits: { idleMs: 1000 } });
      const client = await stage.greeted();
      await client.say('MAIL FROM:<>');
      time.advance(999);
      await client.expect('NOOP', '250');
      // Single octets of a command are no sign of life.
      client.send('NO');
      for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      time.advance(1000);
      await client.next('421 4.4.2');
      await client.closed();
      assert.equal(stage.calls.at(-1), 'abort timeout');
    });

    it('does not count the time in which the client waits for us', async () => {
      const time = clock();
      await open({ clock: time, limits: { idleMs: 1000 } });
      let answer: () => void = () => {};
      let asked: () => void = () => {};
      const waiting = new Promise<void>((resolve) => {
        asked = resolve;
      });
      stage.script.rcpt = () => {
        asked();
        return new Promise((resolve) => {
          answer = () => resolve(ok('rcpt'));
        });
      };
      const client = await stage.greeted();
      client.send('MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\n');
      await client.next('250');
      await waiting;
      time.advance(5000);
      answer();
      await client.next('250 2.0.0 rcpt');
      time.advance(1000);
      await client.next('421 4.4.2');
    });

    it('does not count the wait for the reply to the dot', async () => {
      const time = clock();
      await open({ clock: time, limits: { idleMs: 1000 } });
      stage.script.end = async () => {
        time.advance(570_000);
        return ok('late');
      };
      const client = await stage.greeted();
      client.send('MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n');
      for (let count = 0; count < 3; count += 1) await client.reply();
      await client.expect('x\r\n.', '250 2.0.0 late');
      await client.expect('NOOP', '250');
    });

    /** A client that sends NOOPs and reads no reply, when nothing moves any more. */
    const deaf = async (): Promise<RawClient> => {
      const client = await stage.greeted();
      const { socket } = client;
      socket.pause();
      client.send('NOOP\r\n'.repeat(200_000));
      let before = -1;
      await waitFor('a standstill', () => {
        const still = socket.bytesWritten > 0 && socket.writableLength === before;
        before = socket.writableLength;
        return still;
      });
      return client;
    };

    it('closes a client that pipelines and reads no replies', async () => {
      const time = clock();
      await open({ clock: time, limits: { idleMs: 1000 } });
      await deaf();
      await waitFor('the end of the session', () => {
        time.advance(1000);
        return stage.events.includes('session-closed-by-us');
      });
    });

    it('closes no client that reads its replies late', async () => {
      const time = clock();
      await open({ clock: time, limits: { idleMs: 1000 } });
      const client = await deaf();
      time.advance(900);
      client.socket.resume();
      for (let count = 0; count < 200_000; count += 1) await client.next('250');
      time.advance(900);
      await client.expect('NOOP', '250');
    });

    it('closes a client that trickles content, but not one that goes on', async () => {
      const time = clock();
      await open({ clock: time, limits: { idleMs: 1000 } });
      const client = await stage.greeted();
      client.send('MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n');
      for (let count = 0; count < 3; count += 1) await client.reply();
      let took: () => void = () => {};
      stage.script.content = () => took();
      const send = async (octets: number) => {
        const taken = new Promise<void>((resolve) => {
          took = resolve;
        });
        client.send('x'.repeat(octets));
        await taken;
      };
      await send(4096);
      for (let count = 0; count < 3; count += 1) {
        time.advance(900);
        await send(4096);
      }
      for (let count = 0; count < 2; count += 1) {
        time.advance(500);
        if (count === 0) await send(1);
      }
      await client.next('421 4.4.2');
      assert.equal(stage.calls.at(-1), 'abort timeout');
    });
  });
});
