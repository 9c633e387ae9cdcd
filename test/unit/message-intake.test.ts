import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import fc from 'fast-check';
import { MessageIntake } from '../../src/message-intake.ts';
import { Spool } from '../../src/spool/spool.ts';
import { ManualClock } from '../support/manual-clock.ts';

const LIMITS = { maxHeaderBytes: 1000, maxFields: 10 };
const HEADER = 'From: a@x.test\r\nSubject: hello\r\n\r\n';

function open(messageMemoryBytes = 1e6, dir = tmpdir()): MessageIntake {
  const options = { dir, messageMemoryBytes, memoryBytes: 1e7, diskBytes: 1e7, waitMs: 1000 };
  return new MessageIntake(new Spool(options, new ManualClock()).open(), LIMITS, 'simple');
}

async function stored(intake: MessageIntake): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of intake.source(Buffer.alloc(0)).chunks()) pieces.push(piece);
  return Buffer.concat(pieces).toString('latin1');
}

describe('MessageIntake', () => {
  it('takes a message in, however it is cut', async () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 40 });
    const body = `${'A line of text, and more of it.\r\n'.repeat(700)}`;
    await fc.assert(
      fc.asyncProperty(cuts, fc.constantFrom(0, 5000, 1e6), async (sizes, memory) => {
        const intake = open(memory);
        const content = Buffer.from(HEADER + body);
        for (let at = 0, turn = 0; at < content.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          await intake.add(Buffer.from(content.subarray(at, at + size)));
          at += size;
        }
        const taken = await intake.finish();
        assert.equal(taken.kind, 'message');
        assert.equal(await stored(intake), HEADER + body);
        const expected = createHash('sha256').update(body).digest();
        assert.deepEqual(taken.kind === 'message' && taken.bodyHash, expected);
        intake.release();
      }),
      { numRuns: 40 },
    );
  });

  it('keeps trickled octets together: their number of buffers stays small', async () => {
    const intake = open();
    for (const octet of Buffer.from(HEADER)) intake.add(Buffer.from([octet]));
    for (let count = 0; count < 100_000; count += 1) intake.add(Buffer.from('x'));
    await intake.finish();
    const buffers = intake.source(Buffer.alloc(0)).buffers() ?? [];
    assert.ok(buffers.length < 20, `${buffers.length} buffers for 100,000 octets`);
    intake.release();
  });

  it('drops what follows a header that is too large, and says so at the end', async () => {
    const intake = open();
    intake.add(Buffer.from(`X: ${'x'.repeat(5000)}\r\n`));
    intake.add(Buffer.alloc(100_000, 'y'));
    const taken = await intake.finish();
    assert.equal(taken.kind === 'failed' && taken.reply.code, 552);
    intake.release();
  });

  it('answers 452 4.3.1 when the spool fails, and tells the log why', async () => {
    const intake = open(10, '/proc/cannot-write-here');
    intake.add(Buffer.from(HEADER));
    await intake.add(Buffer.alloc(300_000, 'y'));
    const taken = await intake.finish();
    assert.ok(taken.kind === 'failed');
    assert.equal(taken.reply.code, 452);
    assert.match(taken.fault ?? '', /cannot-write-here/);
    intake.release();
  });
});
