import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ReplyQueue } from '../../../src/accept/reply-queue.ts';

function later(): { text: Promise<string>; come: (text: string) => void } {
  let come: (text: string) => void = () => {};
  const text = new Promise<string>((resolve) => {
    come = resolve;
  });
  return { text, come };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('ReplyQueue', () => {
  it('writes in the order of the commands, whatever the order in which replies come', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.boolean(), { maxLength: 12 }),
        fc.array(fc.nat(), { minLength: 12, maxLength: 12 }),
        async (awaited, shuffle) => {
          let written = '';
          const queue = new ReplyQueue(
            (octets) => {
              written += octets;
            },
            () => {},
          );
          const open: { come: () => void; key: number }[] = [];
          for (const [index, isLater] of awaited.entries()) {
            if (!isLater) {
              queue.add(`${index};`);
              continue;
            }
            const { text, come } = later();
            queue.addLater(text);
            open.push({ come: () => come(`${index};`), key: shuffle[index]! });
          }
          for (const { come } of open.sort((one, other) => one.key - other.key)) {
            come();
            await turn();
            const count = written.split(';').length - 1;
            assert.equal(
              written,
              awaited
                .slice(0, count)
                .map((_, index) => `${index};`)
                .join(''),
            );
          }
          await turn();
          assert.equal(written, awaited.map((_, index) => `${index};`).join(''));
          assert.equal(queue.outstanding, 0);
        },
      ),
    );
  });

  it('writes what is ready in one piece for each turn', async () => {
    const writes: string[] = [];
    const queue = new ReplyQueue(
      (octets) => writes.push(octets),
      () => {},
    );
    queue.add('a');
    queue.add('b');
    await turn();
    queue.add('c');
    queue.flush();
    queue.flush();
    await turn();
    assert.deepEqual(writes, ['ab', 'c']);
  });

  it('tells when few enough are awaited, and when none is', async () => {
    const told: string[] = [];
    const queue = new ReplyQueue(
      () => {},
      () => told.push('empty'),
    );
    const first = later();
    const second = later();
    queue.addLater(first.text);
    queue.addLater(second.text);
    queue.whenBelow(3, () => told.push('below 3'));
    queue.whenBelow(2, () => told.push('below 2'));
    second.come('2');
    await turn();
    assert.deepEqual(told, ['below 3']);
    first.come('1');
    await turn();
    assert.deepEqual(told, ['below 3', 'below 2', 'empty']);
  });
});
