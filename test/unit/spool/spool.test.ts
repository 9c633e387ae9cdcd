import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { Spool, type SpoolOptions } from '../../../src/spool/spool.ts';
import type { SpooledMessage } from '../../../src/spool/spooled-message.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { waitFor } from '../../support/wait-for.ts';

async function contentOf(message: SpooledMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of message.chunks()) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe('spool', () => {
  let dir: string;
  let clock: ManualClock;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'waxseal-spool-test-'));
    clock = new ManualClock();
  });
  afterEach(() => rm(dir, { recursive: true }));

  function spoolWith(options: Partial<SpoolOptions>): Spool {
    const whole = { dir, messageMemoryBytes: 10, memoryBytes: 100, diskBytes: 1e6, waitMs: 1000 };
    return new Spool({ ...whole, ...options }, clock);
  }

  it('keeps a short message in memory and makes no file', async () => {
    const message = spoolWith({}).open();
    message.write(Buffer.from('12345'));
    message.write(Buffer.from('67890'));
    await message.finish();
    assert.equal(Buffer.concat(message.buffers() ?? []).toString(), '1234567890');
    message.release();
  });

  it('gives back what was written, in any pieces, twice, and all budgets at the end', async () => {
    const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(pieces, async (list) => {
        const spool = spoolWith({});
        const message = spool.open();
        for (const piece of list) await message.write(Buffer.from(piece));
        await message.finish();
        const expected = Buffer.concat(list);
        assert.deepEqual(await contentOf(message), expected);
        assert.deepEqual(await contentOf(message), expected);
        assert.equal(message.bytes, expected.length);
        message.release();
        message.release();
        assert.equal(spool.memory.usedBytes, 0);
        assert.equal(spool.disk.usedBytes, 0);
      }),
      { numRuns: 60 },
    );
  });

  it('has no name in the directory while a long message is held', async () => {
    const message = spoolWith({}).open();
    await message.write(Buffer.alloc(300_000, 1));
    await message.finish();
    assert.equal(message.buffers(), undefined);
    assert.deepEqual(await readdir(dir), []);
    message.release();
  });

  it('goes to a file when the memory of all messages is used up', async () => {
    const spool = spoolWith({ messageMemoryBytes: 80, memoryBytes: 100 });
    const first = spool.open();
    first.write(Buffer.alloc(80));
    const second = spool.open();
    second.write(Buffer.alloc(30, 7));
    await second.finish();
    assert.equal(second.buffers(), undefined);
    assert.deepEqual(await contentOf(second), Buffer.alloc(30, 7));
    first.release();
    second.release();
  });

  it('waits for room on disk and goes on when another message ends', async () => {
    const spool = spoolWith({ diskBytes: 250_000 });
    const first = spool.open();
    await first.write(Buffer.alloc(200_000));
    await first.finish();
    const second = spool.open();
    const waiting = second.write(Buffer.alloc(200_000, 2));
    assert.ok(waiting instanceof Promise);
    first.release();
    await waiting;
    await second.finish();
    assert.equal((await contentOf(second)).length, 200_000);
    second.release();
  });

  it('fails with spool-full when no room came in time, and gives everything back', async () => {
    const spool = spoolWith({ diskBytes: 250_000, waitMs: 500 });
    const first = spool.open();
    await first.write(Buffer.alloc(200_000));
    await first.finish();
    const second = spool.open();
    const waiting = second.write(Buffer.alloc(200_000));
    clock.advance(500);
    await assert.rejects(async () => waiting, { code: 'spool-full' });
    assert.throws(() => second.write(Buffer.alloc(1)), { code: 'spool-full' });
    await assert.rejects(second.finish(), { code: 'spool-full' });
    second.release();
    assert.equal(spool.disk.usedBytes, 200_000);
    first.release();
    assert.equal(clock.waiting, 0);
  });

  it('fails with spool-io when the directory is not there', async () => {
    const message = spoolWith({ dir: join(dir, 'missing') }).open();
    message.write(Buffer.alloc(50));
    await assert.rejects(message.finish(), { code: 'spool-io' });
    message.release();
  });

  it('lets go of a wait for room when the message is released', async () => {
    const spool = spoolWith({ diskBytes: 10 });
    const first = spool.open();
    first.write(Buffer.alloc(11));
    const finished = assert.rejects(first.finish(), { code: 'spool-full' });
    await finished;
    const second = spool.open();
    second.release();
    second.write(Buffer.alloc(50));
    assert.equal(spool.disk.usedBytes, 0);
  });

  it('charges the disk for every octet that it writes, also for what came while it waited', async () => {
    const spool = spoolWith({ messageMemoryBytes: 0, memoryBytes: 0, diskBytes: 100_000 });
    assert.ok(spool.disk.tryTake(100_000));
    const messages = Array.from({ length: 10 }, () => {
      const message = spool.open();
      message.write(Buffer.alloc(1000));
      const waiting = message.write(Buffer.alloc(30_000));
      assert.equal(waiting, undefined, 'not enough for back-pressure');
      return message;
    });
    const finished = Promise.all(messages.map((message) => message.finish()));
    spool.disk.give(100_000);
    const failed = assert.rejects(finished, { code: 'spool-full' });
    // Each has its first 1000 octets on disk; three of them have room for the rest.
    await waitFor('the other seven to wait for room', () => clock.waiting === 7);
    assert.equal(spool.disk.usedBytes, 100_000);
    clock.advance(1000);
    await failed;
    for (const message of messages) message.release();
    assert.equal(spool.disk.usedBytes, 0);
  });

  it('holds a writer back while a batch waits for room', async () => {
    const spool = spoolWith({ messageMemoryBytes: 0, memoryBytes: 0, diskBytes: 1_000_000 });
    assert.ok(spool.disk.tryTake(1_000_000));
    const message = spool.open();
    message.write(Buffer.alloc(100_000));
    const waiting = message.write(Buffer.alloc(60_000));
    assert.ok(waiting instanceof Promise);
    spool.disk.give(1_000_000);
    await waiting;
    await message.finish();
    assert.equal(spool.disk.usedBytes, 160_000);
    message.release();
  });

  it('waits for room once in all: a second stall has what the first one left', async () => {
    const spool = spoolWith({
      messageMemoryBytes: 0,
      memoryBytes: 0,
      diskBytes: 100,
      waitMs: 1000,
    });
    const message = spool.open();
    assert.ok(spool.disk.tryTake(100));
    message.write(Buffer.alloc(50));
    clock.advance(700);
    spool.disk.give(50);
    await message.finish();
    message.write(Buffer.alloc(50));
    clock.advance(299);
    const late = assert.rejects(message.finish(), { code: 'spool-full' });
    clock.advance(1);
    await late;
    message.release();
  });
});
