import assert from 'node:assert/strict';
import { Turns } from '../../../src/base/turns.ts';

describe('turns', () => {
  it('come one after the other, and a failed one holds up nobody', async () => {
    const turns = new Turns();
    const events: string[] = [];
    const gate = Promise.withResolvers<void>();
    const first = turns.run(async () => {
      events.push('first');
      await gate.promise;
      throw new Error('it failed');
    });
    const second = turns.run(async () => {
      events.push('second');
      return 2;
    });
    await Promise.resolve();
    assert.deepEqual(events, ['first']);
    gate.resolve();
    await assert.rejects(first, /it failed/);
    assert.equal(await second, 2);
    assert.deepEqual(events, ['first', 'second']);
  });
});
