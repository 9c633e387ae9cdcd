import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import type { ReadStream } from 'node:tty';
import { WaxsealError } from '../../../src/base/errors.ts';
import { processInput } from '../../../src/cli/input.ts';

/** A terminal as far as `processInput` looks at it. */
class FakeTerminal extends PassThrough {
  readonly isTTY = true;
  readonly rawModes: boolean[] = [];

  setRawMode(raw: boolean): this {
    this.rawModes.push(raw);
    return this;
  }
}

describe('standard input', () => {
  const ask = (typed: readonly (string | Buffer)[]) => {
    const terminal = new FakeTerminal();
    const shown: string[] = [];
    const input = processInput(terminal as unknown as ReadStream, (text) => shown.push(text));
    const answer = input.readSecret('Password: ');
    for (const keys of typed) terminal.write(keys);
    return { answer, terminal, shown };
  };

  it('reads a line without showing it, and leaves the terminal as it was', async () => {
    const { answer, terminal, shown } = ask(['hun', 'ter2\r']);
    assert.equal(await answer, 'hunter2');
    assert.deepEqual(terminal.rawModes, [true, false]);
    assert.equal(shown.join(''), 'Password: \n');
    assert.equal(terminal.listenerCount('data'), 0);
  });

  it('erases with backspace, whole characters at a time', async () => {
    assert.equal(await ask(['x\u007f', 'ab\u{1f511}\u007fc\n']).answer, 'abc');
  });

  it('joins a character that comes in two pieces', async () => {
    const [first, second] = [Buffer.from([0xc3]), Buffer.from([0xa4])] as const;
    assert.equal(await ask([first, second, '\r']).answer, 'ä');
  });

  for (const [what, key] of [
    ['Ctrl-C', '\u0003'],
    ['Ctrl-D', '\u0004'],
  ] as const) {
    it(`gives up on ${what}, and leaves the terminal as it was`, async () => {
      const { answer, terminal } = ask(['secret', key]);
      await assert.rejects(
        answer,
        (error) => error instanceof WaxsealError && error.code === 'interrupted',
      );
      assert.deepEqual(terminal.rawModes, [true, false]);
    });
  }

  it('reads two lines that were typed at once, one after the other', async () => {
    const terminal = new FakeTerminal();
    const input = processInput(terminal as unknown as ReadStream, () => undefined);
    terminal.write('one\rtwo\r');
    assert.equal(await input.readSecret('1: '), 'one');
    assert.equal(await input.readSecret('2: '), 'two');
  });

  it('reads everything, within a bound', async () => {
    const stream = new PassThrough();
    const input = processInput(stream as unknown as ReadStream, () => undefined);
    stream.end('abc');
    assert.equal((await input.readAll(3)).toString(), 'abc');
    const long = new PassThrough();
    long.end('abcd');
    await assert.rejects(processInput(long as unknown as ReadStream, () => undefined).readAll(3), {
      code: 'input-too-big',
    });
  });
});
