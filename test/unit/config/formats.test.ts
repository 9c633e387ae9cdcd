import assert from 'node:assert/strict';
import fc from 'fast-check';
import { defaultHeaderLists } from '../../../src/config/default-header-lists.ts';
import { editDistance, nearestName } from '../../../src/config/nearest-name.ts';
import {
  isFullyQualified,
  parseEndpoint,
  parseNetwork,
  toDomain,
} from '../../../src/config/network-formats.ts';
import { milliseconds, octets, onOff } from '../../../src/config/scalar-formats.ts';
import { headerName, headerNameOrPrefix, unmatched } from '../../../src/config/signing-formats.ts';
import { type HeaderLists, HeaderSelection } from '../../../src/sign/header-selection.ts';
import { build } from './build.ts';

describe('configuration: formats', () => {
  it('reads endpoints', () => {
    assert.deepEqual(parseEndpoint('127.0.0.1:25'), { host: '127.0.0.1', port: 25 });
    assert.deepEqual(parseEndpoint('[2001:db8::1]:587'), { host: '2001:db8::1', port: 587 });
    assert.deepEqual(parseEndpoint('localhost:0'), { host: 'localhost', port: 0 });
    assert.deepEqual(parseEndpoint('2001:db8::1', 53), { host: '2001:db8::1', port: 53 });
    assert.deepEqual(parseEndpoint('192.0.2.1', 53), { host: '192.0.2.1', port: 53 });
    for (const bad of [
      '',
      '25',
      ':25',
      '127.0.0.1',
      '::1:25',
      '[127.0.0.1]:25',
      '1.2.3.4:65536',
      'a b:25',
      '300.1.1.1:25',
      '[::1]',
    ]) {
      assert.equal(parseEndpoint(bad), undefined, bad);
    }
  });

  it('reads networks', () => {
    assert.deepEqual(parseNetwork('10.0.0.0/8'), {
      family: 'ipv4',
      address: '10.0.0.0',
      prefixLength: 8,
    });
    assert.deepEqual(parseNetwork('::1'), { family: 'ipv6', address: '::1', prefixLength: 128 });
    for (const bad of [
      '',
      '10.0.0.0/33',
      '10.0.0/8',
      '::/129',
      'a.example/8',
      '10.0.0.0/',
      '10.0.0.0/-1',
    ]) {
      assert.equal(parseNetwork(bad), undefined, bad);
    }
  });

  it('knows domains', () => {
    assert.equal(toDomain('Exämple.COM.'), 'xn--exmple-cua.com');
    for (const bad of [
      '',
      '.',
      'a..b',
      '-a.example',
      'a-.example',
      '192.0.2.1',
      'a b.example',
      `${'x'.repeat(64)}.example`,
      'a.example/x',
    ]) {
      assert.equal(toDomain(bad), undefined, bad);
    }
    assert.equal(isFullyQualified('mail.example.com'), true);
    assert.equal(isFullyQualified('mail'), false);
    assert.equal(isFullyQualified('192.0.2.1'), false);
  });

  it('reads quantities with units and nothing half-way', () => {
    const time = milliseconds(0, 10_000_000);
    assert.deepEqual(
      ['250', '30s', '5m', '1h', '10 ms'].map(time.parse),
      [250, 30_000, 300_000, 3_600_000, 10],
    );
    assert.deepEqual(['5 parsecs', '1.5s', '-1', '12x', '5S'].map(time.parse), [
      '5 parsecs',
      '1.5s',
      '-1',
      '12x',
      '5S',
    ]);
    assert.equal(octets(0, 1e12).parse('2GiB'), 2_147_483_648);
    assert.equal(time.check(time.parse('constructor')).length, 1);
    assert.equal(time.check(0.5).length, 1);
  });

  it('takes no word but a yes for a yes', () => {
    assert.deepEqual(['true', 'No', 'on', 'off'].map(onOff.parse), [true, false, true, false]);
    assert.equal(onOff.check(onOff.parse('nope')).length, 1);
  });

  it('normalises the fallback domain', () => {
    assert.equal(unmatched.normalize('fallback:EXAMPLE.com'), 'fallback:example.com');
    assert.equal(unmatched.check('fallback:mail').length, 1);
  });

  it('takes the header names that the selection of signed fields takes, and no others', () => {
    const refusedBy = (lists: Partial<HeaderLists>) => {
      try {
        new HeaderSelection({ ...defaultHeaderLists, ...lists });
        return false;
      } catch {
        return true;
      }
    };
    const names = [
      ...[
        '',
        'A B',
        'A:',
        'A;B',
        'Sub*ject',
        '*',
        'Fröm',
        'Bcc',
        'bCC',
        'arc-seal',
        'DKIM-Signature',
      ],
      ...['Re*', 'ARC-*', 'a*', 'Return-*', 'DKIM-*', 'List-**'],
      ...['From', 'X-Anything', 'Resent-*', 'List-*', 'Archived-At'],
    ];
    for (const name of names) {
      const plain = headerName.check(name).length > 0;
      const prefixed = headerNameOrPrefix.check(name).length > 0;
      assert.equal(plain, refusedBy({ alwaysOversigned: [name] }), name);
      assert.equal(prefixed, refusedBy({ signedIfPresent: [name] }), name);
    }
    assert.deepEqual(build('').config.signing.headers, defaultHeaderLists);
  });

  it('never throws, whatever the text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseEndpoint(text);
        parseNetwork(text);
        const domain = toDomain(text);
        return domain === undefined || toDomain(domain) === domain;
      }),
    );
  });
});

describe('nearestName', () => {
  it('finds what was meant', () => {
    assert.equal(nearestName('mesageBytes', ['headerBytes', 'messageBytes']), 'messageBytes');
    assert.equal(nearestName('lsiten', ['limits', 'listen']), 'listen');
    assert.equal(nearestName('zzzzzz', ['limits', 'listen']), undefined);
  });

  it('counts edits like a metric does', () => {
    assert.equal(editDistance('ab', 'ba'), 1);
    assert.equal(editDistance('kitten', 'sitting'), 3);
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        const distance = editDistance(a, b);
        return (
          distance === editDistance(b, a) &&
          (distance === 0) === (a === b) &&
          distance <= Math.max(a.length, b.length)
        );
      }),
    );
  });
});
