import assert from 'node:assert/strict';
import { SessionCounts } from '../../../src/accept/session-counts.ts';

const A = '192.0.2.1';
const B = '192.0.2.2';

describe('SessionCounts', () => {
  it('lets strangers have half of the sessions, and at least one', () => {
    for (const [sessions, share] of [
      [1, 1],
      [4, 2],
      [5, 3],
    ] as const) {
      const counts = new SessionCounts(sessions, 100);
      for (let id = 0; id < share; id += 1) counts.add({ id: `${id}`, address: A }, true);
      assert.ok(!counts.tooManyStrangers(B));
      counts.add({ id: 'more', address: A }, true);
      assert.ok(counts.tooManyStrangers(B));
      counts.remove({ id: 'more', address: A });
      counts.add({ id: 'known', address: A }, false);
      assert.ok(!counts.tooManyStrangers(B));
    }
  });

  it('bounds the strangers of one address and leaves the others alone', () => {
    const counts = new SessionCounts(100, 1);
    counts.add({ id: '1', address: A }, true);
    counts.add({ id: '2', address: A }, true);
    assert.ok(counts.tooManyStrangers(A));
    assert.ok(!counts.tooManyStrangers(B));
  });

  it('counts each session once, whatever is told of it how often', () => {
    const counts = new SessionCounts(100, 1);
    const first = { id: '1', address: A };
    const second = { id: '2', address: A };
    counts.add(first, true);
    counts.add(second, true);
    counts.admit(first);
    counts.admit(first);
    assert.ok(!counts.tooManyStrangers(A));
    assert.deepEqual([counts.all, counts.of(A)], [2, 2]);
    counts.remove(first);
    counts.remove(first);
    // A password that turns out right after its client has left.
    counts.admit(first);
    assert.deepEqual([counts.all, counts.of(A), counts.of(B)], [1, 1, 0]);
    counts.remove(second);
    assert.deepEqual([counts.all, counts.of(A)], [0, 0]);
    counts.add(second, true);
    assert.ok(!counts.tooManyStrangers(A));
  });
});
