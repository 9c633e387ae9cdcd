import assert from 'node:assert/strict';
import type { ContentFacts } from '../../src/mail/transaction.ts';
import { ok, openStage, type RawClient, type Stage } from './dialog.ts';

/** Octets that are not CRLF.CRLF and were taken for an end of data by some server. */
const SMUGGLING: readonly string[] = [
  // Line ends that are not CRLF on either side of the dot.
  '\n.\n',
  '\n.\r\n',
  '\r\n.\n',
  '\r.\r',
  '\r.\r\n',
  '\r\n.\r',
  '\r.\n',
  '\n.\r',
  '\n\n.\n\n',
  '\r\r.\r\r',
  '\r\r\n.\r\r\n',
  // Doubled halves and lines that only look empty.
  '\r\n.\r\r\n',
  '\r\n.\n\r\n',
  '\n\r.\n\r',
  '\r\n\n.\r\n',
  '\n\r\n.\n\r\n',
  '\r\n .\r\n',
  '\r\n. \r\n',
  '\r\n.\t\r\n',
  '\r\n..\r\n',
  '\r\n\0.\r\n',
  '\r\n.\0\r\n',
  '\r\0\n.\r\0\n',
  '\n\0.\n\0',
  '\r\n.\x0b\r\n',
  '\r\n.\x0c\r\n',
  '\x85.\x85',
  '\r\n\x85.\x85\r\n',
  '\xe2\x80\xa8.\xe2\x80\xa8',
  '\r\n\xe3\x80\x82\r\n',
  '\r\n\x2e\x08\x2e\r\n',
  '\r\n=2E\r\n',
  '\r\n.\x1a\r\n',
];

async function startContent(stage: Stage): Promise<RawClient> {
  const client = await stage.greeted();
  client.send('MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n');
  await client.next('250');
  await client.next('250');
  await client.next('354');
  return client;
}

describe('content in a dialogue', () => {
  let stage: Stage;
  let facts: ContentFacts | undefined;
  beforeEach(async () => {
    stage = await openStage({ limits: { messageBytes: 200_000 } });
    stage.script.end = (seen) => {
      facts = seen;
      return ok('taken');
    };
  });
  afterEach(async () => {
    await stage.close();
    assert.deepEqual(stage.faults, []);
  });

  for (const sequence of SMUGGLING) {
    it(`does not end at ${JSON.stringify(sequence)}`, async () => {
      const client = await startContent(stage);
      const smuggled = 'MAIL FROM:<evil@e.example>\r\nRCPT TO:<v@v.example>\r\nDATA\r\n';
      client.send(`before${sequence}${smuggled}evil\r\n.\r\nNOOP\r\n`);
      await client.next('250 2.0.0 taken');
      await client.next('250 2.0.0 Ok');
      assert.equal(stage.calls.filter((call) => call.startsWith('mail')).length, 1);
      const message = stage.transactions.messages[0]!;
      assert.ok(message.includes(smuggled) && message.endsWith('evil\r\n'));
      assert.doesNotMatch(message, /\r(?!\n)|(?<!\r)\n|\0/);
      assert.equal(facts!.strayLineEnds, /\r(?!\n)|(?<!\r)\n/.test(sequence));
      assert.equal(facts!.nul, sequence.includes('\0'));
      assert.equal(facts!.bytes, message.length);
    });
  }

  it('takes the next command from the octets behind the dot, and only then', async () => {
    let answer: () => void = () => {};
    let ended: () => void = () => {};
    const waiting = new Promise<void>((resolve) => {
      ended = resolve;
    });
    stage.script.end = () => {
      ended();
      return new Promise((resolve) => {
        answer = () => resolve(ok('taken'));
      });
    };
    const client = await startContent(stage);
    client.send('one\r\n.\r\nMAIL FROM:<two@a.example>\r\nNOOP\r\n');
    await waiting;
    assert.equal(stage.calls.at(-1), 'end');
    answer();
    await client.next('250 2.0.0 taken');
    await client.next('250 2.0.0 mail');
    await client.next('250 2.0.0 Ok');
  });

  it('waits with the next piece until the transaction took the last', async () => {
    let take: () => void = () => {};
    let offered: () => void = () => {};
    const first = new Promise<void>((resolve) => {
      offered = resolve;
    });
    let pieces = 0;
    stage.script.content = () => {
      pieces += 1;
      offered();
      return new Promise((resolve) => {
        take = resolve;
      });
    };
    const client = await startContent(stage);
    client.send('a'.repeat(1000));
    await first;
    client.send(`${'b'.repeat(100_000)}\r\n.\r\n`);
    assert.equal(pieces, 1);
    stage.script.content = () => undefined;
    take();
    await client.next('250 2.0.0 taken');
    assert.equal(stage.transactions.messages[0]!.length, 101_002);
  });

  it('keeps no more than a bounded part of a client that sends on while a piece waits', async () => {
    let offered: () => void = () => {};
    const first = new Promise<void>((resolve) => {
      offered = resolve;
    });
    stage.script.content = () => {
      offered();
      return new Promise(() => {});
    };
    const client = await startContent(stage);
    client.send('a'.repeat(1000));
    await first;
    // More than loopback buffers hold: if we read on, all of it would be gone from the client.
    client.send(Buffer.alloc(32 * 1024 * 1024, 'b'));
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(client.socket.writableLength > 0);
  });

  it('reads a message over the limit to its end, answers 552, and goes on', async () => {
    const client = await startContent(stage);
    const aborted = stage.transactions.untilAborted();
    client.send('x'.repeat(150_000));
    client.send('x'.repeat(150_000));
    await aborted;
    client.send(`${'x'.repeat(300_000)}\r\n.\r\n`);
    await client.next(
      '552 5.3.4 The message is over the limit of 200000 octets [waxseal content.size',
    );
    assert.deepEqual(stage.calls.slice(-2), ['data', 'abort too-large']);
    await client.expect('MAIL FROM:<>', '250');
  });

  it('answers 451 when a piece could not be taken, and the session lives', async () => {
    stage.script.content = () => Promise.reject(new Error('disk'));
    const client = await startContent(stage);
    client.send('x\r\n.\r\n');
    await client.next('451 4.3.0');
    await client.expect('NOOP', '250');
    assert.deepEqual(stage.faults.splice(0), ['session.content']);
  });

  it('tells the length of a line of 150 kB, which it does not keep', async () => {
    const client = await startContent(stage);
    client.send(`${'y'.repeat(150_000)}\r\n.\r\n`);
    await client.next('250');
    assert.equal(facts!.longestLine, 150_000);
  });
});
