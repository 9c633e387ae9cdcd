import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { MxData } from '../../../src/base/resolver.ts';
import { interleave } from '../../../src/relay/route-addresses.ts';
import {
  isNullMx,
  isUsableExchange,
  orderMxs,
  ownPreference,
} from '../../../src/relay/route-mx.ts';

const mxs = fc.array(fc.record({ preference: fc.nat({ max: 5 }), exchange: fc.domain() }), {
  maxLength: 30,
});
const unit = fc.double({ min: 0, max: 0.999_999, noNaN: true });

describe('orderMxs', () => {
  it('sorts by preference and loses nothing', () => {
    fc.assert(
      fc.property(mxs, fc.infiniteStream(unit), (given, randoms) => {
        const ordered = orderMxs(given, () => randoms.next().value);
        assert.deepEqual(new Set(ordered), new Set(given));
        assert.equal(ordered.length, given.length);
        const preferences = ordered.map(({ preference }) => preference);
        assert.deepEqual(
          preferences,
          preferences.toSorted((a, b) => a - b),
        );
      }),
    );
  });

  it('can bring equal ones into every order', () => {
    const given = ['a', 'b', 'c'].map((exchange) => ({ preference: 1, exchange }));
    const seen = new Set<string>();
    for (const first of [0, 0.4, 0.9]) {
      for (const second of [0, 0.9]) {
        const draws = [first, second];
        const order = orderMxs(given, () => draws.shift() ?? 0);
        seen.add(order.map(({ exchange }) => exchange).join(''));
      }
    }
    assert.equal(seen.size, 6);
  });
});

describe('ownPreference', () => {
  it('is the best of ours, or infinite', () => {
    const isOurs = (mx: MxData) => mx.exchange === 'us.test';
    const at = (preference: number, exchange: string) => ({ preference, exchange });
    const given = [at(30, 'us.test'), at(10, 'a.test'), at(20, 'us.test')];
    assert.equal(ownPreference(given, isOurs), 20);
    assert.equal(ownPreference([at(10, 'a.test')], isOurs), Number.POSITIVE_INFINITY);
  });
});

describe('isNullMx and isUsableExchange', () => {
  it('tell names from the root and from addresses', () => {
    assert.equal(isNullMx([{ preference: 0, exchange: '' }]), true);
    assert.equal(isNullMx([]), false);
    assert.equal(
      isNullMx([
        { preference: 0, exchange: '' },
        { preference: 1, exchange: 'a.b' },
      ]),
      false,
    );
    const usable = { 'mx.example': true, 'a_b.example': true, 'xn--bcher-kva.example': true };
    const not = {
      '': false,
      '192.0.2.1': false,
      '2001:db8::1': false,
      'a b.c': false,
      '-a.b': false,
    };
    for (const [exchange, expected] of Object.entries({ ...usable, ...not })) {
      assert.equal(isUsableExchange({ preference: 0, exchange }), expected, exchange);
    }
  });
});

describe('interleave', () => {
  it('takes the families in turn, IPv6 first', () => {
    assert.deepEqual(interleave(['6a', '6b', '6c'], ['4a']), ['6a', '4a', '6b', '6c']);
    assert.deepEqual(interleave([], ['4a', '4b']), ['4a', '4b']);
    assert.deepEqual(interleave(['6a'], ['4a', '4b']), ['6a', '4a', '4b']);
  });
});
