import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { ManualClock } from '../support/manual-clock.ts';
import { testCertificate } from '../support/mx-certificate.ts';
import { ok, openStage, type Stage, type StageOptions } from './dialog.ts';

describe('drain', () => {
  let stage: Stage;
  const open = async (options: StageOptions = {}) => {
    stage = await openStage(options);
  };
  afterEach(async () => {
    await stage.close();
    assert.deepEqual(stage.faults, []);
  });

  it('answers a session between transactions with 421 at its next command', async () => {
    await open();
    const idle = await stage.greeted();
    const quitting = await stage.greeted();
    const drained = stage.listener.drain(60_000);
    await idle.expect('MAIL FROM:<>', '421 4.3.2');
    await idle.closed();
    await quitting.expect('QUIT', '221');
    await quitting.closed();
    await drained;
    assert.deepEqual(stage.calls, []);
  });

  it('takes no more connections', async () => {
    await open();
    await stage.listener.drain(1000);
    const [error] = await once(connect(stage.port, '127.0.0.1'), 'error');
    assert.equal(error.code, 'ECONNREFUSED');
  });

  it('lets a running transaction finish, from any of its states', async () => {
    await open();
    let answer: () => void = () => {};
    let ended: () => void = () => {};
    const waiting = new Promise<void>((resolve) => {
      ended = resolve;
    });
    const client = await stage.greeted();
    await client.say('MAIL FROM:<>');
    const drained = stage.listener.drain(60_000);
    await client.expect('RCPT TO:<b@b.example>', '250');
    await client.expect('DATA', '354');
    stage.script.end = () => {
      ended();
      return new Promise((resolve) => {
        answer = () => resolve(ok('taken'));
      });
    };
    client.send('x\r\n.\r\nMAIL FROM:<>\r\n');
    await waiting;
    answer();
    await client.next('250 2.0.0 taken');
    await client.next('421 4.3.2');
    await client.closed();
    await drained;
    assert.equal(stage.transactions.messages.length, 1);
  });

  it('ends at its time limit, aborting what still runs', async () => {
    const clock = new ManualClock();
    await open({ clock });
    const client = await stage.greeted();
    await client.say('MAIL FROM:<>');
    const drained = stage.listener.drain(5000);
    clock.advance(5000);
    await client.next('421 4.3.2');
    await client.closed();
    await drained;
    assert.equal(stage.calls.at(-1), 'abort connection-lost');
  });

  it('says 421 at its time limit to a client whose RCPTs wait for an MX', async () => {
    const clock = new ManualClock();
    await open({ clock });
    let asked: () => void = () => {};
    const waiting = new Promise<void>((resolve) => {
      asked = resolve;
    });
    stage.script.rcpt = () => {
      asked();
      return new Promise(() => {});
    };
    const client = await stage.greeted();
    client.send('MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nRCPT TO:<c@c.example>\r\n');
    await client.next('250');
    await waiting;
    const drained = stage.listener.drain(5000);
    clock.advance(5000);
    await client.next('421 4.3.2');
    await client.closed();
    await drained;
  });

  it('ends a session that shakes hands for TLS', async () => {
    const clock = new ManualClock();
    const { key, cert } = testCertificate('relay.example');
    await open({ clock, tls: { key, cert, clientCa: undefined, minVersion: 'TLSv1.2' } });
    const client = await stage.greeted();
    await client.expect('STARTTLS', '220');
    const drained = stage.listener.drain(5000);
    clock.advance(5000);
    await client.closed();
    await drained;
  });

  it('names the address that it cannot listen on', async () => {
    await open();
    await assert.rejects(stage.listener.listen({ host: '127.0.0.1', port: stage.port }), {
      code: 'listen-failed',
      message: new RegExp(`127\\.0\\.0\\.1:${stage.port}`),
    });
  });
});
