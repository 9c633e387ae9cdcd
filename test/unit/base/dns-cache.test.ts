import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DnsCache } from '../../../src/base/dns-cache.ts';
import { ManualClock } from '../../support/manual-clock.ts';

describe('DnsCache', () => {
  it('stays within its bound in octets, whatever is put in', () => {
    const clock = new ManualClock();
    const cache = new DnsCache<number>({ maxEntries: 1000, maxBytes: 10_000, clock });
    for (let n = 0; n < 50; n += 1) cache.set(`k${n}`, n, 60, 1600);
    assert.equal(cache.size, 5);
    assert.deepEqual(cache.get('k49'), { value: 49, remainingMs: 60_000 });
    cache.set('huge', 1, 60, 20_000);
    assert.equal(cache.size, 0);
    cache.set('small', 1, 60, 100);
    assert.equal(cache.size, 1);
  });

  it('behaves as a map of fresh values, least recently used out first', () => {
    const key = fc.constantFrom('a', 'b', 'c', 'd', 'e');
    const step = fc.oneof(
      fc.record({ kind: fc.constant('set' as const), key, ttlS: fc.integer({ min: 0, max: 5 }) }),
      fc.record({ kind: fc.constant('get' as const), key }),
      fc.record({ kind: fc.constant('wait' as const), s: fc.nat({ max: 3 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const clock = new ManualClock();
        const cache = new DnsCache<number>({ maxEntries: 3, maxBytes: 1e9, clock });
        let model: { key: string; value: number; endMs: number }[] = [];
        steps.forEach((action, value) => {
          if (action.kind === 'wait') clock.advance(action.s * 1000);
          if (action.kind === 'set') {
            model = model.filter((entry) => entry.key !== action.key);
            const endMs = clock.monotonicMs() + action.ttlS * 1000;
            if (action.ttlS > 0) model.push({ key: action.key, value, endMs });
            model = model.slice(-3);
            cache.set(action.key, value, action.ttlS, 0);
          }
          if (action.kind === 'get') {
            const known = model.find((entry) => entry.key === action.key);
            model = model.filter((entry) => entry !== known);
            const fresh = known !== undefined && known.endMs > clock.monotonicMs();
            if (fresh) model.push(known);
            assert.equal(cache.get(action.key)?.value, fresh ? known.value : undefined);
          }
          assert.equal(cache.size, model.length);
        });
      }),
    );
  });
});
