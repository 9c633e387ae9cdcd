import assert from 'node:assert/strict';
import fc from 'fast-check';
import { asciiDomain, parseMailboxes } from '../../../src/mail/mailboxes.ts';

function addresses(value: string): string {
  const { mailboxes, malformed } = parseMailboxes(value);
  const list = mailboxes.map(({ localPart, domain }) => `${localPart}@${domain}`).join(' ');
  return malformed ? `${list} MALFORMED`.trim() : list;
}

const READ: readonly (readonly [value: string, expected: string])[] = [
  ['a@example.com', 'a@example.com'],
  ['<a@example.com>', 'a@example.com'],
  ['A B <a@Example.COM>', 'a@example.com'],
  ['"B, A" <a@example.com>', 'a@example.com'],
  ['"a\\"<x@evil.example>, " <a@example.com>', 'a@example.com'],
  ['B, A <a@example.com>', 'a@example.com'],
  ['a@evil.example <a@example.com>', 'a@example.com'],
  ['"a@evil.example" <a@example.com>', 'a@example.com'],
  ['a@example.com (comment)', 'a@example.com'],
  ['(one (two \\) @evil.example) <x@y>) a@example.com', 'a@example.com'],
  ['a (x) @ (y) example . com', 'a@example.com'],
  ['"quoted @ local"@example.com', '"quoted @ local"@example.com'],
  ['<"a>b"@example.com>', '"a>b"@example.com'],
  ['<@route.example,@other.example:a@example.com>', 'a@example.com'],
  ['=?utf-8?q?J=C3=BCrgen?= <j@example.com>', 'j@example.com'],
  ['=?utf-8?q?a"b?= <j@example.com>', 'j@example.com'],
  ['"lone quote <a@example.com>', 'a@example.com'],
  ['a@example.com, b@example.net', 'a@example.com b@example.net'],
  ['A <a@example.com>,, B <b@example.net>,', 'a@example.com b@example.net'],
  ['A <a@example.com> B <b@example.net>', 'a@example.com b@example.net'],
  ['Team: a@example.com, B <b@example.net>;', 'a@example.com b@example.net'],
  ['Team: a@example.com;, c@example.org', 'a@example.com c@example.org'],
  ['undisclosed-recipients:;', ''],
  ['', ''],
  ['MAILER-DAEMON', ''],
  ['<>', ''],
  ['Jürgen <jürgen@bücher.example>', 'jürgen@xn--bcher-kva.example'],
  ['a@xn--bcher-kva.example', 'a@xn--bcher-kva.example'],
  ['a@EXAMPLE.com.', 'a@example.com'],
  ['a@[192.0.2.1]', 'a@[192.0.2.1]'],
  ['<a@[IPv6:2001:DB8::1]>', 'a@[ipv6:2001:db8::1]'],
  ['a@[192.0.2.1', 'MALFORMED'],
  ['a@127.1', 'a@127.1'],
  ['a@b@example.com', 'MALFORMED'],
  ['<a@b@example.com>', 'MALFORMED'],
  ['a@example.com b', 'MALFORMED'],
  ['A B a@example.com', 'MALFORMED'],
  ['<a@example.com', 'MALFORMED'],
  ['<<a@example.com>>', 'MALFORMED'],
  ['@example.com', 'MALFORMED'],
  ['<root>', 'MALFORMED'],
  ['a@', 'MALFORMED'],
  ['a@-.com', 'MALFORMED'],
  ['a@exa mple.com', 'MALFORMED'],
  ['a@ex\u0000ample.com', 'MALFORMED'],
  [`a@${'x'.repeat(64)}.com`, 'MALFORMED'],
  [`a@${'é'.repeat(300)}.com`, 'MALFORMED'],
  ['a@example.com, b@b@b', 'a@example.com MALFORMED'],
  ['a@example.com (not closed, b@example.net', 'a@example.com'],
];

describe('mailboxes', () => {
  for (const [value, expected] of READ) {
    it(`reads ${JSON.stringify(value.slice(0, 70))}`, () => {
      assert.equal(addresses(value), expected);
    });
  }

  it('never throws, and only gives domains in their canonical form', () => {
    const text = fc.array(
      fc.constantFrom(
        ...['<', '>', '@', ',', ';', ':', '"', '\\', '(', ')', '[', ']', '.', ' ', '\t', 'a', 'é'],
        ...['example.com', '\u0000', '\ud800', '\u3002', 'xn--', '%41', '=?utf-8?q?a?='],
      ),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(text, (parts) => {
        for (const { domain } of parseMailboxes(parts.join('')).mailboxes) {
          assert.match(domain, /^[a-z0-9_.:[\]-]+$/);
          assert.equal(asciiDomain(domain), domain);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('reads back any list of mailboxes that was written by the rules', () => {
    const atom = fc.stringMatching(/^[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,10}$/);
    const local = fc.oneof(
      atom,
      fc.string({ maxLength: 10 }).map((inner) => `"${inner.replace(/["\\]/g, '\\$&')}"`),
    );
    const domain = fc.stringMatching(/^[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,3}$/);
    const written = fc.record({
      local,
      domain,
      form: fc.constantFrom(
        (address: string) => address,
        (address: string) => `<${address}>`,
        (address: string) => `"N, <a@b>" ${'<'}${address}>`,
        (address: string) => ` (c (d) "e) ${address} (f)`,
        (address: string) => `Group: ${address};`,
      ),
    });
    fc.assert(
      fc.property(fc.array(written, { minLength: 1, maxLength: 5 }), (list) => {
        const value = list.map((one) => one.form(`${one.local}@${one.domain}`)).join(', ');
        const expected = list.map((one) => ({ localPart: one.local, domain: one.domain }));
        assert.deepEqual(parseMailboxes(value), { mailboxes: expected, malformed: false });
      }),
      { numRuns: 1000 },
    );
  });

  it('reads long hostile values in one pass', () => {
    // Each would take minutes if it were read again and again from some point.
    for (const unit of [
      '(',
      '"',
      '<',
      '"\\',
      'a ',
      'a. ',
      '@',
      '[',
      '<a@',
      'a@[',
      ':',
      '.',
      '" ',
    ]) {
      parseMailboxes(unit.repeat(200_000));
    }
    assert.equal(parseMailboxes('a@example.com,'.repeat(100_000)).malformed, true);
  });
});
