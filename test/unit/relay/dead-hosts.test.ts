import assert from 'node:assert/strict';
import { DeadHosts } from '../../../src/relay/dead-hosts.ts';
import { ManualClock } from '../../support/manual-clock.ts';

describe('DeadHosts', () => {
  it('remembers an address and port for the time given', () => {
    const clock = new ManualClock();
    const dead = new DeadHosts({ deadHostMs: 60_000, clock });
    dead.markDead('192.0.2.1', 25, 'connection refused');
    clock.advance(59_999);
    assert.deepEqual(dead.find('192.0.2.1', 25), { reason: 'connection refused', remainingMs: 1 });
    assert.equal(dead.find('192.0.2.1', 587), undefined);
    assert.equal(dead.find('192.0.2.2', 25), undefined);
    clock.advance(1);
    assert.equal(dead.find('192.0.2.1', 25), undefined);
    assert.equal(dead.size, 0);
  });

  it('counts from the last failure, and forgets at a success', () => {
    const clock = new ManualClock();
    const dead = new DeadHosts({ deadHostMs: 100, clock });
    dead.markDead('192.0.2.1', 25, 'first');
    clock.advance(60);
    dead.markDead('192.0.2.1', 25, 'second');
    clock.advance(60);
    assert.deepEqual(dead.find('192.0.2.1', 25), { reason: 'second', remainingMs: 40 });
    dead.markAlive('192.0.2.1', 25);
    assert.equal(dead.find('192.0.2.1', 25), undefined);
  });

  it('drops the expired when it learns of new ones, and never holds more than 10,000', () => {
    const clock = new ManualClock();
    const dead = new DeadHosts({ deadHostMs: 100, clock });
    for (let port = 1; port <= 10_005; port += 1) dead.markDead('192.0.2.1', port, 'x');
    assert.equal(dead.size, 10_000);
    assert.equal(dead.find('192.0.2.1', 5), undefined);
    assert.notEqual(dead.find('192.0.2.1', 6), undefined);
    clock.advance(100);
    dead.markDead('192.0.2.2', 25, 'x');
    assert.equal(dead.size, 1);
  });

  it('remembers nothing when switched off', () => {
    const dead = new DeadHosts({ deadHostMs: 0, clock: new ManualClock() });
    dead.markDead('192.0.2.1', 25, 'x');
    assert.equal(dead.find('192.0.2.1', 25), undefined);
  });
});
