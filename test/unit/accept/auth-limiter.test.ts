import assert from 'node:assert/strict';
import { AuthLimiter } from '../../../src/accept/auth-limiter.ts';
import { ManualClock } from '../../support/manual-clock.ts';

describe('AuthLimiter', () => {
  it('blocks an address after its failures, for ten minutes from the first', () => {
    const clock = new ManualClock();
    const limiter = new AuthLimiter(clock, 2);
    limiter.failed('192.0.2.1', 'anna');
    assert.ok(!limiter.isBlocked('192.0.2.1'));
    clock.advance(599_000);
    limiter.failed('192.0.2.1', 'anna');
    assert.ok(limiter.isBlocked('192.0.2.1'));
    assert.ok(!limiter.isBlocked('192.0.2.2'));
    clock.advance(1000);
    assert.ok(!limiter.isBlocked('192.0.2.1'));
  });

  it('forgets the failures of a user who succeeds, and nobody else', () => {
    const limiter = new AuthLimiter(new ManualClock(), 2);
    limiter.failed('192.0.2.1', 'anna');
    limiter.succeeded('192.0.2.1', 'anna');
    limiter.failed('192.0.2.1', 'anna');
    // Who has a password of his own cannot guess another's for longer.
    limiter.succeeded('192.0.2.1', 'bert');
    assert.ok(!limiter.isBlocked('192.0.2.1'));
    limiter.failed('192.0.2.1', 'anna');
    assert.ok(limiter.isBlocked('192.0.2.1'));
  });

  it('takes the addresses of an IPv6 /64 for one client', () => {
    const limiter = new AuthLimiter(new ManualClock(), 1);
    limiter.failed('2001:db8:0:1::1', 'anna');
    assert.ok(limiter.isBlocked('2001:db8:0:1:ffff:1:2:3'));
    assert.ok(limiter.isBlocked('2001:db8::1:0:0:0:9'));
    assert.ok(!limiter.isBlocked('2001:db8:0:2::1'));
    limiter.failed('::1', 'anna');
    assert.ok(limiter.isBlocked('::2'));
  });

  it('forgets the longest known address when it knows ten thousand', () => {
    const limiter = new AuthLimiter(new ManualClock(), 1);
    for (let count = 0; count <= 10_000; count += 1) {
      limiter.failed(`10.${count >> 16}.${(count >> 8) & 255}.${count & 255}`, 'anna');
    }
    assert.ok(!limiter.isBlocked('10.0.0.0'));
    assert.ok(limiter.isBlocked('10.0.0.1'));
    assert.ok(limiter.isBlocked('10.0.39.16'));
  });
});
