import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { findColon, headerField } from '../../../src/mail/header-fields.ts';
import {
  canonicalHeader,
  type HeaderCanonicalization,
} from '../../../src/sign/header-canonicalization.ts';

interface MailauthHeader {
  generateCanonicalizedHeader(
    type: 'DKIM',
    lines: { headers: { line: Buffer }[] },
    options: { canonicalization: string; signatureHeaderLine: string },
  ): { canonicalizedHeader: Buffer };
}
const mailauth = createRequire(import.meta.url)('mailauth/lib/dkim/header') as MailauthHeader;

function own(canonicalization: HeaderCanonicalization, octets: Buffer): Buffer {
  const colon = findColon(octets, 0, octets.length);
  assert.ok(colon !== 'no-field');
  return Buffer.from(canonicalHeader(canonicalization, [headerField(octets, colon)]), 'latin1');
}

/** Names with WSP before the colon; values with everything that the relaxed form touches. */
const fields = fc
  .record({
    name: fc.stringMatching(/^[A-Za-z0-9-]{1,12}$/),
    gap: fc.constantFrom('', ' ', '\t'),
    value: fc.array(
      fc.constantFrom(
        ' ',
        '  ',
        '\t',
        '\r\n ',
        '\r\n\t',
        ' \r\n  ',
        'a',
        'word',
        ':',
        'é',
        ';',
        'b=',
      ),
      { maxLength: 20 },
    ),
  })
  .map(({ name, gap, value }) => Buffer.from(`${name}${gap}:${value.join('')}\r\n`));

describe('header canonicalization', () => {
  for (const canonicalization of ['relaxed', 'simple'] as const) {
    it(`gives mailauth's ${canonicalization} form of any field`, () => {
      fc.assert(
        fc.property(fields, (octets) => {
          const { canonicalizedHeader } = mailauth.generateCanonicalizedHeader(
            'DKIM',
            { headers: [{ line: octets.subarray(0, octets.length - 2) }] },
            { canonicalization: `${canonicalization}/relaxed`, signatureHeaderLine: 'X: b=' },
          );
          const last = canonicalization === 'relaxed' ? 'x:b=' : 'X: b=';
          assert.equal(
            own(canonicalization, octets).toString() + last,
            canonicalizedHeader.toString(),
          );
        }),
        { numRuns: 2000 },
      );
    });
  }

  it('keeps octets that are no UTF-8', () => {
    const octets = Buffer.from('Subject: \xff\xe9  x\r\n', 'latin1');
    assert.deepEqual(own('relaxed', octets), Buffer.from('subject:\xff\xe9 x\r\n', 'latin1'));
    assert.deepEqual(own('simple', octets), octets);
  });
});
