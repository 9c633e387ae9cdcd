import assert from 'node:assert/strict';
import { KmsError } from '../../../../src/keys/kms/kms-fault.ts';
import { KmsKeyHolds } from '../../../../src/keys/kms/kms-key-holds.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

describe('faults held against one key', () => {
  it('leave it alone for a second, then twice as long, to a minute; and no other key', () => {
    const clock = new ManualClock();
    const alerts: string[] = [];
    const holds = new KmsKeyHolds(clock, (message) => alerts.push(message));
    const pauses: number[] = [];
    for (let round = 0; round < 8; round += 1) {
      // Calls side by side fail side by side.
      for (let call = 0; call < 3; call += 1) {
        holds.failed('arn', 'example.com, selector one', new KmsError('disabled', 'no'));
      }
      let pauseMs = 0;
      while (holds.against('arn') !== undefined) {
        clock.advance(1000);
        pauseMs += 1000;
      }
      pauses.push(pauseMs);
    }
    assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    assert.equal(holds.against('other'), undefined);
    assert.equal(alerts.length, 1, 'the operator hears of it once');
    holds.failed('arn', 'example.com, selector one', new KmsError('access-denied', 'no'));
    holds.succeeded('arn', 'example.com, selector one');
    holds.succeeded('arn', 'example.com, selector one');
    assert.deepEqual(
      alerts.map((text) => text.replace(/:.*/, '')),
      [
        'example.com, selector one cannot sign',
        'example.com, selector one cannot sign',
        'example.com, selector one can sign again',
      ],
    );
    assert.equal(holds.against('arn'), undefined);
  });
});
