import assert from 'node:assert/strict';
import fc from 'fast-check';
import { CommandReader } from '../../../src/accept/command-reader.ts';

/** Feeds a reader with the text, cut at the places, and writes down what it tells. */
async function read(
  text: string,
  cuts: readonly number[],
  { limit = 20, slow = false }: { limit?: number; slow?: boolean } = {},
): Promise<string[]> {
  const told: string[] = [];
  const go = (done: () => void) => (slow ? void setImmediate(done) : done());
  const reader = new CommandReader({
    command: (line, done) => {
      told.push(line.toString('latin1'));
      if (line.toString('latin1') === 'DATA') reader.startContent();
      go(done);
    },
    overlong: (done) => {
      told.push('(too long)');
      go(done);
    },
    content: (chunk) => {
      const at = chunk.indexOf('!');
      told.push(`(content ${chunk.toString('latin1', 0, at < 0 ? chunk.length : at)})`);
      const wait = slow ? new Promise<void>((resolve) => setImmediate(resolve)) : undefined;
      return { rest: at < 0 ? undefined : chunk.subarray(at + 1), wait };
    },
    contentEnded: (done) => {
      told.push('(ended)');
      go(done);
    },
    starved: () => {},
    ended: () => {},
    lineLimit: () => limit,
  });
  const octets = Buffer.from(text, 'latin1');
  const places = [...new Set(cuts.map((cut) => cut % (octets.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...places, octets.length]) {
    const chunk = Buffer.from(octets.subarray(from, to));
    from = to;
    await new Promise<void>((resolve) => reader.write(chunk, () => resolve()));
  }
  return told;
}

describe('CommandReader', () => {
  it('ends a command at CRLF only', async () => {
    assert.deepEqual(await read('A\nB\rC\r\n\nD\r\n\r\r\nE', []), ['A\nB\rC', '\nD', '\r']);
  });

  it('goes to content in the middle of a chunk and back', async () => {
    for (const slow of [false, true]) {
      const told = await read('X\r\nDATA\r\nabc!NOOP\r\nDATA\r\n!Y\r\n', [], { slow });
      assert.deepEqual(told, [
        'X',
        'DATA',
        '(content abc)',
        '(ended)',
        'NOOP',
        'DATA',
        '(content )',
        '(ended)',
        'Y',
      ]);
    }
  });

  it('tells the same commands however the octets are cut', async () => {
    const part = fc.oneof(
      fc.constantFrom('\r', '\n', '\r\n', 'NOOP\r\n', 'x'.repeat(20), 'x'.repeat(21)),
      fc.string({ unit: 'binary-ascii', maxLength: 25 }).filter((text) => text !== 'DATA'),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(part, { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        fc.boolean(),
        async (parts, cuts, slow) => {
          const text = parts.join('');
          const expected = text
            .split('\r\n')
            .slice(0, -1)
            .map((line) => (line.length > 20 ? '(too long)' : line));
          assert.deepEqual(await read(text, cuts, { slow }), expected);
        },
      ),
    );
  });

  it('keeps nothing of a line that is too long', async () => {
    const told = await read(`${'x'.repeat(100_000)}\r\nA\r\n`, [1000, 50_000, 100_001]);
    assert.deepEqual(told, ['(too long)', 'A']);
  });

  it('lets others have a turn amid many commands', async () => {
    let turns = 0;
    let running = true;
    const count = () => {
      turns += 1;
      if (running) setImmediate(count);
    };
    setImmediate(count);
    const told = await read('A\r\n'.repeat(1000), []);
    running = false;
    assert.equal(told.length, 1000);
    assert.ok(turns >= 9);
  });

  it('runs nothing more once it is closed', async () => {
    const told: string[] = [];
    const reader = new CommandReader({
      command: (line, done) => {
        told.push(line.toString());
        reader.isClosed = true;
        done();
      },
      overlong: () => {},
      content: () => ({ rest: undefined, wait: undefined }),
      contentEnded: () => {},
      starved: () => {},
      ended: () => {},
      lineLimit: () => 20,
    });
    await new Promise<void>((resolve) => reader.write('STARTTLS\r\nEVIL\r\n', () => resolve()));
    await new Promise<void>((resolve) => reader.write('EVIL\r\n', () => resolve()));
    assert.deepEqual(told, ['STARTTLS']);
  });
});
