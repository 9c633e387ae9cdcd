import assert from 'node:assert/strict';
import { CircuitBreaker } from '../../../../src/keys/kms/circuit-breaker.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

describe('circuit breaker', () => {
  let clock: ManualClock;
  let events: string[];
  let breaker: CircuitBreaker;

  beforeEach(() => {
    clock = new ManualClock();
    events = [];
    breaker = new CircuitBreaker({
      clock,
      probeMs: 12_000,
      onOpen: (pauseMs) => events.push(`open ${pauseMs}`),
      onClose: () => events.push('closed'),
    });
  });

  const fail = (times: number) => {
    for (let count = 0; count < times; count += 1) breaker.failed();
  };

  it('opens after five failures in a row, and not after four and a success', () => {
    fail(4);
    breaker.succeeded();
    fail(4);
    assert.equal(breaker.admits(), true);
    breaker.failed();
    assert.equal(breaker.admits(), false);
    assert.deepEqual(events, ['open 2000']);
  });

  it('lets one call probe after the pause, and closes when that goes well', () => {
    fail(5);
    clock.advance(2000);
    assert.equal(breaker.admits(), true);
    assert.equal(breaker.admits(), false, 'only one');
    breaker.succeeded();
    assert.equal(breaker.admits(), true);
    assert.equal(breaker.admits(), true);
    assert.deepEqual(events, ['open 2000', 'closed']);
  });

  it('waits twice as long after each probe that fails, to a minute', () => {
    fail(5);
    for (let probe = 0; probe < 7; probe += 1) {
      clock.advance(60_000);
      assert.equal(breaker.admits(), true);
      breaker.failed();
    }
    assert.deepEqual(
      events.map((event) => Number(event.split(' ')[1])),
      [2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000],
    );
  });

  it('lets the next one probe when a probe said nothing about the Region, or nothing at all', () => {
    fail(5);
    clock.advance(2000);
    assert.equal(breaker.admits(), true);
    breaker.spoiled();
    assert.equal(breaker.admits(), true);
    assert.equal(breaker.admits(), false);
    clock.advance(12_000);
    assert.equal(breaker.admits(), true);
  });

  it('is not opened again by calls that were under way when it opened', () => {
    fail(9);
    assert.deepEqual(events, ['open 2000']);
  });
});
