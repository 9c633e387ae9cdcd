import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isPublicAddress, ownAddressCheck } from '../../../src/relay/address-policy.ts';

const CLOSED_IPV4 = [
  '0.0.0.0',
  '10.255.255.255',
  '100.64.0.1',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.168.1.1',
  '198.19.0.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
];
const CLOSED_IPV6 = [
  '::',
  '::1',
  '::ffff:8.8.8.8',
  '::ffff:7f00:1',
  '::8.8.8.8',
  '64:ff9b:1::808:808',
  '100::1',
  '2001::1',
  '2002:808:808::1',
  'fc00::1',
  'fdff::1',
  'fe80::1',
  'fe80::1%eth0',
  '2606:4700::1%eth0',
  'fec0::1',
  'ff02::1',
];
const PUBLIC = [
  '1.1.1.1',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.0',
  '172.15.255.255',
  '172.32.0.0',
  '223.255.255.255',
  '2001:200::1',
  '2606:4700::1111',
  '64:ff9b::808:808',
];

describe('isPublicAddress', () => {
  for (const address of [...CLOSED_IPV4, ...CLOSED_IPV6, '', 'mx.example', '10.0.0', '[::1]']) {
    it(`refuses "${address}"`, () => assert.equal(isPublicAddress(address), false));
  }

  for (const address of PUBLIC) {
    it(`allows ${address}`, () => assert.equal(isPublicAddress(address), true));
  }

  it('judges an address behind the NAT64 prefix as the IPv4 address that it is', () => {
    for (const address of CLOSED_IPV4) {
      assert.equal(isPublicAddress(`64:ff9b::${address}`), false, address);
    }
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        assert.equal(isPublicAddress(`64:ff9b::${address}`), isPublicAddress(address));
      }),
    );
  });

  it('never allows an IPv4-mapped address', () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        assert.equal(isPublicAddress(`::ffff:${address}`), false);
      }),
    );
  });

  it('allows IPv6 only inside 2000::/3 and the NAT64 prefix', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        fc.pre(isPublicAddress(address));
        assert.match(address, /^(?:[23][0-9a-f]{3}|0*64:0*ff9b):/i);
      }),
    );
  });
});

describe('ownAddressCheck', () => {
  it('knows our address however it is written, on the port in question only', () => {
    const endpoints = [
      { address: '192.0.2.1', port: 25 },
      { address: '2001:db8::1', port: 25 },
      { address: '192.0.2.2', port: 2525 },
    ];
    const isOwn = ownAddressCheck(endpoints, 25);
    const cases = {
      '192.0.2.1': true,
      '::ffff:192.0.2.1': true,
      '2001:0db8:0:0::1': true,
      '192.0.2.2': false,
      '2001:db8::2': false,
    };
    for (const [address, expected] of Object.entries(cases)) {
      assert.equal(isOwn(address), expected, address);
    }
  });
});
