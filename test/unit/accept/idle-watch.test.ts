import assert from 'node:assert/strict';
import { IdleWatch } from '../../../src/accept/idle-watch.ts';
import { ManualClock } from '../../support/manual-clock.ts';

describe('IdleWatch', () => {
  const make = () => {
    const clock = new ManualClock();
    let expired = 0;
    const watch = new IdleWatch(clock, 1000, () => {
      expired += 1;
    });
    return { clock, watch, expired: () => expired };
  };

  it('expires once, when input was owed for the whole time', () => {
    const { clock, expired } = make();
    clock.advance(999);
    assert.equal(expired(), 0);
    clock.advance(1);
    assert.equal(expired(), 1);
    clock.advance(10_000);
    assert.equal(expired(), 1);
  });

  it('measures from the beginning of the turn, with one timer for all turns', () => {
    const { clock, watch, expired } = make();
    for (let turn = 0; turn < 5; turn += 1) {
      clock.advance(700);
      watch.weOwe();
      watch.clientOwes();
      assert.equal(clock.waiting, 1);
    }
    clock.advance(999);
    assert.equal(expired(), 0);
    clock.advance(1);
    assert.equal(expired(), 1);
  });

  it('stands still during our turn', () => {
    const { clock, watch, expired } = make();
    watch.weOwe();
    clock.advance(100_000);
    assert.equal(expired(), 0);
    watch.clientOwes();
    watch.clientOwes();
    clock.advance(999);
    assert.equal(expired(), 0);
    // The timer that ran during our turn may fire late by up to one limit, not more.
    clock.advance(1001);
    assert.equal(expired(), 1);
  });

  it('takes 4 KiB for a sign of life, and less for none', () => {
    const { clock, watch, expired } = make();
    clock.advance(900);
    watch.progress(4095);
    watch.progress(1);
    clock.advance(900);
    watch.progress(4095);
    assert.equal(expired(), 0);
    clock.advance(100);
    assert.equal(expired(), 1);
  });

  it('leaves no timer behind', () => {
    const { clock, watch } = make();
    watch.stop();
    assert.equal(clock.waiting, 0);
  });
});
