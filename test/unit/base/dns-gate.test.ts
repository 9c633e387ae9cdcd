import assert from 'node:assert/strict';
import { DnsGate } from '../../../src/base/dns-gate.ts';
import { ManualClock } from '../../support/manual-clock.ts';

describe('DnsGate', () => {
  const clock = new ManualClock();
  const gateOf = (width: number, maxWaiting: number) =>
    new DnsGate({ width, maxWaiting, maxWaitMs: 1000, clock });

  it('lets in as many as it is wide, then the longest waiter', async () => {
    const gate = gateOf(1, 2);
    const order: string[] = [];
    assert.equal(await gate.enter(), true);
    const waits = ['first', 'second'].map(async (who) => {
      assert.equal(await gate.enter(), true);
      order.push(who);
      gate.leave();
    });
    gate.leave();
    await Promise.all(waits);
    assert.deepEqual(order, ['first', 'second']);
    assert.equal(await gate.enter(), true);
    assert.equal(clock.waiting, 0);
  });

  it('turns away the one too many at once', async () => {
    const gate = gateOf(1, 1);
    await gate.enter();
    const waiting = gate.enter();
    assert.equal(await gate.enter(), false);
    gate.leave();
    assert.equal(await waiting, true);
  });

  it('turns away who waited too long, and keeps no place for it', async () => {
    const gate = gateOf(1, 5);
    await gate.enter();
    const waiting = gate.enter();
    clock.advance(1000);
    assert.equal(await waiting, false);
    gate.leave();
    assert.equal(await gate.enter(), true);
    assert.equal(clock.waiting, 0);
  });
});
