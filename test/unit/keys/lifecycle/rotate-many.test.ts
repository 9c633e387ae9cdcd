import assert from 'node:assert/strict';
import type { Advance } from '../../../../src/keys/lifecycle/advance.ts';
import { rotateMany } from '../../../../src/keys/lifecycle/rotate-many.ts';
import type { ManifestDomain } from '../../../../src/keys/manifest.ts';

const entries = Array.from(
  { length: 10 },
  (_, index): ManifestDomain => ({ domain: `d${index}.example`, subdomains: false, keys: [] }),
);
const done = (entry: ManifestDomain): Advance => ({
  entry,
  outcomes: [],
  rest: [],
  fulfilled: undefined,
});

describe('many domains', () => {
  async function run(
    options: Partial<Parameters<typeof rotateMany>[1]>,
    fails: (domain: string) => boolean,
  ) {
    let running = 0;
    const together: number[] = [];
    const order: string[] = [];
    const summary = await rotateMany(
      entries,
      { max: 100, concurrency: 3, stopAfterFailures: 2, ...options },
      async (entry) => {
        running += 1;
        together.push(running);
        order.push(entry.domain);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        if (fails(entry.domain)) throw new Error('no');
        return done(entry);
      },
      () => {},
    );
    return { summary, together, order };
  }

  it('go one alone first, then so many at once', async () => {
    const { summary, together } = await run({}, () => false);
    assert.deepEqual(summary, { taken: 10, failed: 0, waiting: 0, left: 0, stopped: false });
    assert.equal(together[0], 1);
    assert.equal(Math.max(...together), 3);
  });

  it('are not kept by one that is broken; another is the canary then', async () => {
    const { summary, together } = await run({}, (domain) => domain === 'd0.example');
    assert.deepEqual(summary, { taken: 10, failed: 1, waiting: 0, left: 0, stopped: false });
    assert.deepEqual(together.slice(0, 2), [1, 1]);
  });

  it('stop after failures, one by one while none goes well', async () => {
    const { summary, together } = await run({}, () => true);
    assert.deepEqual(summary, { taken: 2, failed: 2, waiting: 0, left: 8, stopped: true });
    assert.deepEqual(together, [1, 1]);
  });

  it('are no more than asked for', async () => {
    const { summary, order } = await run({ max: 4 }, () => false);
    assert.deepEqual(summary, { taken: 4, failed: 0, waiting: 0, left: 6, stopped: false });
    assert.deepEqual(
      order.sort(),
      ['d0', 'd1', 'd2', 'd3'].map((name) => `${name}.example`),
    );
  });
});
