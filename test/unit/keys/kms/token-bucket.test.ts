import assert from 'node:assert/strict';
import { TokenBucket } from '../../../../src/keys/kms/token-bucket.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

describe('token bucket', () => {
  it('gives a fifth of a second at once, and the rest evenly', () => {
    const clock = new ManualClock();
    const bucket = new TokenBucket(clock, 100);
    const waits = Array.from({ length: 25 }, () => bucket.take(10_000));
    assert.deepEqual(new Set(waits.slice(0, 20)), new Set([0]));
    assert.deepEqual(
      waits.slice(20).map((wait) => Math.round(wait ?? -1)),
      [10, 20, 30, 40, 50],
    );
  });

  it('gives one at once however low the rate is', () => {
    const bucket = new TokenBucket(new ManualClock(), 0.5);
    assert.equal(bucket.take(0), 0);
    assert.equal(bucket.take(1999), undefined);
    assert.equal(bucket.take(2000), 2000);
  });

  it('takes nothing from the others when it refuses', () => {
    const clock = new ManualClock();
    const bucket = new TokenBucket(clock, 1);
    assert.equal(bucket.take(0), 0);
    for (let count = 0; count < 10; count += 1) assert.equal(bucket.take(500), undefined);
    clock.advance(1000);
    assert.equal(bucket.take(0), 0);
  });

  it('never gives more in a second than its rate and its burst', () => {
    const clock = new ManualClock();
    const bucket = new TokenBucket(clock, 500);
    clock.advance(3_600_000);
    let given = 0;
    for (let ms = 0; ms < 1000; ms += 1) {
      while (bucket.take(0) !== undefined) given += 1;
      clock.advance(1);
    }
    assert.ok(given <= 600 && given >= 590, `${given}`);
  });
});
