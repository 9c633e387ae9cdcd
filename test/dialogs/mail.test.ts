import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { localReply, type RemoteReply, type Reply } from '../../src/mail/reply.ts';
import { ok, openStage, type Stage } from './dialog.ts';

describe('a mail dialogue', () => {
  let stage: Stage;
  beforeEach(async () => {
    stage = await openStage();
  });
  afterEach(async () => {
    await stage.close();
    assert.deepEqual(stage.faults, []);
  });

  it('goes from greeting to QUIT, with ids and rules in our own replies', async () => {
    const client = await stage.client();
    assert.equal(client.last, '220 relay.example ESMTP Waxseal');
    assert.equal(
      await client.say('EHLO client.example'),
      [
        '250-relay.example',
        '250-PIPELINING',
        '250-SIZE 1000000',
        '250-8BITMIME',
        '250-SMTPUTF8',
        '250 ENHANCEDSTATUSCODES',
      ].join('\r\n'),
    );
    assert.equal(await client.say('MAIL FROM:<a@a.example>'), '250 2.0.0 mail [waxseal test T1]');
    await client.expect('RCPT TO:<b@B.example>', '250 2.0.0 rcpt [waxseal test T1]');
    assert.equal(await client.say('DATA'), '354 go on');
    assert.equal(
      await client.say('Subject: x\r\n\r\n..dot\r\n.'),
      '250 2.0.0 taken [waxseal test T1]',
    );
    assert.match(await client.say('QUIT'), /^221 2\.0\.0 Bye \[waxseal session\.quit \w+\]$/);
    await client.closed();
    assert.deepEqual(stage.calls, [
      'mail <a@a.example>',
      'rcpt <b@B.example> b.example',
      'data',
      'end',
    ]);
    assert.deepEqual(stage.transactions.messages, ['Subject: x\r\n\r\n.dot\r\n']);
    const { heloName, protocol, address, allowedBy } = stage.transactions.clients[0]!;
    assert.deepEqual(
      [heloName, protocol, address, allowedBy],
      ['client.example', 'ESMTP', '127.0.0.1', 'address'],
    );
  });

  it('greets at once: no timer has to run out, no name server to answer', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const client = await stage.client();
      assert.match(client.last, /^220 /);
    } finally {
      mock.timers.reset();
    }
  });

  it('passes remote replies on without a suffix, and a remote 421 keeps the session', async () => {
    const remote: RemoteReply = {
      origin: 'remote',
      code: 421,
      lines: ['4.7.0 slow down', '4.7.0 please'],
      host: 'mx',
      address: '192.0.2.1',
      command: 'RCPT',
    };
    stage.script.rcpt = () => remote;
    const client = await stage.greeted();
    await client.say('MAIL FROM:<>');
    assert.equal(
      await client.say('RCPT TO:<b@b.example>'),
      '451-4.7.0 slow down\r\n451 4.7.0 please',
    );
    await client.expect('NOOP', '250 2.0.0 Ok');
  });

  it('starts pipelined RCPTs side by side and answers in order', async () => {
    const pending: ((reply: Reply) => void)[] = [];
    let started: () => void = () => {};
    const all = new Promise<void>((resolve) => {
      started = resolve;
    });
    stage.script.rcpt = () =>
      new Promise((resolve) => {
        pending.push(resolve);
        if (pending.length === 3) started();
      });
    const client = await stage.greeted();
    client.send(
      'MAIL FROM:<>\r\nRCPT TO:<1@x.example>\r\nRCPT TO:<2@x.example>\r\nRCPT TO:<bad>\r\n',
    );
    client.send('RCPT TO:<3@x.example>\r\nRSET\r\n');
    await all;
    pending[2]!(ok('three'));
    pending[1]!(localReply(550, '5.1.1', 'test', 'two'));
    pending[0]!(ok('one'));
    await client.next('250 2.0.0 mail');
    await client.next('250 2.0.0 one');
    await client.next('550 5.1.1 two');
    await client.next('501 5.1.3 ');
    await client.next('250 2.0.0 three');
    await client.next('250 2.0.0 Ok');
    assert.equal(stage.calls.at(-1), 'abort reset');
  });

  it('writes the replies to a batch at one time', async () => {
    const client = await stage.greeted();
    const before = client.chunks.length;
    client.send('NOOP\r\nNOOP\r\nVRFY x\r\nNOOP\r\n');
    for (const start of ['250', '250', '252', '250']) await client.next(start);
    assert.equal(client.chunks.length, before + 1);
  });

  it('writes the replies of an MX that answers a batch at once as one batch', async () => {
    const pending: ((reply: Reply) => void)[] = [];
    let started: () => void = () => {};
    const all = new Promise<void>((resolve) => {
      started = resolve;
    });
    stage.script.rcpt = () =>
      new Promise((resolve) => {
        pending.push(resolve);
        if (pending.length === 50) started();
      });
    const client = await stage.greeted();
    await client.say('MAIL FROM:<>');
    const before = client.chunks.length;
    client.send('RCPT TO:<x@x.example>\r\n'.repeat(50));
    await all;
    for (const resolve of pending) resolve(ok('rcpt'));
    for (let index = 0; index < 50; index += 1) await client.next('250 2.0.0 rcpt');
    assert.equal(client.chunks.length, before + 1);
  });

  it('reads no more than 100 RCPTs ahead of their replies', async () => {
    const pending: ((reply: Reply) => void)[] = [];
    let reached: () => void = () => {};
    const hundred = new Promise<void>((resolve) => {
      reached = resolve;
    });
    stage.script.rcpt = () =>
      new Promise((resolve) => {
        pending.push(resolve);
        if (pending.length === 100) reached();
      });
    const client = await stage.greeted();
    await client.say('MAIL FROM:<>');
    client.send('RCPT TO:<x@x.example>\r\n'.repeat(150));
    await hundred;
    assert.equal(pending.length, 100);
    stage.script.rcpt = () => ok('later');
    for (const resolve of pending) resolve(ok('rcpt'));
    for (let index = 0; index < 150; index += 1) await client.next('250');
  });

  it('keeps the order of commands: each refusal is a reply and the session lives', async () => {
    const client = await stage.client();
    await client.expect('MAIL FROM:<>', '503 5.5.1');
    await client.expect('EHLO x y', '501 5.5.4');
    await client.expect('EHLO', '501 5.5.4');
    await client.expect('HELO cl\x07ient', '501 5.5.4');
    await client.expect('HELO cl\xe9ient', '501 5.5.4');
    await client.expect('HELO a(b)', '501 5.5.4');
    assert.equal(await client.say('HELO client'), '250 relay.example');
    // Blanks at the end are tolerated (RFC 5321 section 4.1.1).
    assert.equal(await client.say('HELO client \t'), '250 relay.example');
    await client.expect('RCPT TO:<b@b.example>', '503 5.5.1');
    await client.expect('DATA', '503 5.5.1');
    await client.expect('MAIL FROM:<>', '250');
    await client.expect('MAIL FROM:<>', '503 5.5.1');
    await client.expect('DATA', '503 5.5.1');
    await client.expect('WIZ x', '500 5.5.2');
    await client.expect('BDAT 5 LAST', '500 5.5.2');
    await client.expect('XCLIENT ADDR=1.2.3.4', '500 5.5.2');
    await client.expect('EXPN list', '502 5.5.1');
    await client.expect('VRFY b', '252 2.5.2');
    await client.expect('HELP', '214 2.0.0');
    await client.expect('STARTTLS', '502 5.5.1');
    await client.expect('AUTH PLAIN AHgAeA==', '502 5.5.1');
    await client.expect('RSET now', '501 5.5.4');
    assert.equal(stage.transactions.clients[0]!.protocol, 'SMTP');
  });

  it('refuses DATA while no recipient was accepted, and goes on', async () => {
    stage.script.rcpt = () => localReply(550, '5.1.1', 'test', 'no');
    const client = await stage.greeted();
    client.send('MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n');
    await client.next('250');
    await client.next('550 5.1.1');
    await client.next('554 5.5.1');
    stage.script.rcpt = () => ok('rcpt');
    await client.expect('RCPT TO:<c@b.example>', '250');
    await client.expect('DATA', '354');
    await client.expect('x\r\n.', '250 2.0.0 taken');
  });

  it('ends the transaction when DATA or MAIL are refused', async () => {
    stage.script.data = () => localReply(451, '4.4.1', 'test', 'gone');
    const client = await stage.greeted();
    await client.say('MAIL FROM:<>');
    await client.say('RCPT TO:<b@b.example>');
    await client.expect('DATA', '451 4.4.1 gone [waxseal test T1]');
    await client.expect('RCPT TO:<b@b.example>', '503');
    stage.script.mail = () => localReply(451, '4.7.5', 'test', 'no key');
    await client.expect('MAIL FROM:<>', '451 4.7.5 no key [waxseal test T2]');
    await client.expect('RCPT TO:<b@b.example>', '503');
  });

  it('answers 451 when a transaction fails by a bug, and tells of it', async () => {
    stage.script.rcpt = () => Promise.reject(new Error('bug'));
    const client = await stage.greeted();
    await client.say('MAIL FROM:<>');
    await client.expect('RCPT TO:<b@b.example>', '451 4.3.0');
    await client.expect('NOOP', '250');
    assert.deepEqual(stage.faults.splice(0), ['session.rcpt']);
    assert.equal(stage.calls.at(-1), 'abort reset');
  });

  it('aborts with the reason of RSET, EHLO, QUIT and a lost connection', async () => {
    const client = await stage.greeted();
    for (const command of ['RSET', 'EHLO again', 'QUIT']) {
      await client.say('MAIL FROM:<>');
      await client.say(command);
    }
    const other = await stage.greeted();
    await other.say('MAIL FROM:<>');
    const aborted = stage.transactions.untilAborted();
    other.destroy();
    await aborted;
    assert.deepEqual(
      stage.calls.filter((call) => call.startsWith('abort')),
      ['abort reset', 'abort reset', 'abort quit', 'abort connection-lost'],
    );
  });

  it('aborts when the client is lost amid content or while it waits', async () => {
    for (const octets of ['half a mess', 'x\r\n.\r\n']) {
      let waiting: () => void = () => {};
      const waits = new Promise<void>((resolve) => {
        waiting = resolve;
      });
      stage.script.content = () => (octets.includes('half') ? waiting() : undefined);
      stage.script.end = () => {
        waiting();
        return new Promise(() => {});
      };
      const client = await stage.greeted();
      await client.say('MAIL FROM:<>');
      await client.say('RCPT TO:<b@b.example>');
      await client.say('DATA');
      const aborted = stage.transactions.untilAborted();
      client.send(octets);
      await waits;
      client.destroy();
      await aborted;
      assert.equal(stage.calls.at(-1), 'abort connection-lost');
    }
  });
});
