import assert from 'node:assert/strict';
import { canonicalAddress } from '../../../src/base/ip-text.ts';

describe('canonicalAddress', () => {
  it('writes an IPv6 address in one way only, and leaves the rest as it is', () => {
    const written = {
      '2001:DB8:0:0::1': '2001:db8::1',
      '2001::1:0:0:0:1': '2001:0:0:1::1',
      '0:0:0:0:0:0:0:1': '::1',
      '2001:db8:0:1:1:1:1:1': '2001:db8:0:1:1:1:1:1',
      'fe80::1%eth0': 'fe80::1%eth0',
      '192.0.2.1': '192.0.2.1',
      'ns.example.com': 'ns.example.com',
      '': '',
    };
    for (const [text, expected] of Object.entries(written)) {
      assert.equal(canonicalAddress(text), expected);
    }
  });
});
