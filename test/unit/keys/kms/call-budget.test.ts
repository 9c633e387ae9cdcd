import assert from 'node:assert/strict';
import { CallBudget } from '../../../../src/keys/kms/call-budget.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

describe('budget of KMS calls', () => {
  it('warns at 80 per cent and at the end, refuses then, and begins anew each day (UTC)', () => {
    const clock = new ManualClock(Date.parse('2026-11-21T23:00:00Z'));
    const alerts: string[] = [];
    const budget = new CallBudget(clock, 10, (message) => alerts.push(message));
    const taken = () => Array.from({ length: 12 }, () => budget.take()).filter(Boolean).length;
    assert.equal(taken(), 10);
    assert.equal(alerts.length, 2);
    assert.match(alerts[0] ?? '', /^8 of the 10 .* 2 are left$/);
    clock.advance(59 * 60_000);
    assert.equal(budget.take(), false);
    clock.advance(60_000);
    assert.equal(taken(), 10);
    assert.equal(alerts.length, 4);
  });

  it('0 is no bound', () => {
    const budget = new CallBudget(new ManualClock(), 0, () => assert.fail());
    for (let count = 0; count < 10_000; count += 1) assert.equal(budget.take(), true);
  });
});
