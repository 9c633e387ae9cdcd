import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { type BodyCanonicalization, createBodyHasher } from '../../../src/sign/body-hasher.ts';

interface MailauthHasher {
  update(octets: Buffer): void;
  digest(encoding: 'base64'): string;
}
const { dkimBody } = createRequire(import.meta.url)('mailauth/lib/dkim/body') as {
  dkimBody(canonicalization: string, algorithm: string): MailauthHasher;
};

const ALGORITHMS: readonly BodyCanonicalization[] = ['simple', 'relaxed'];

function mailauthHash(canonicalization: BodyCanonicalization, body: Buffer): string {
  const hasher = dkimBody(`relaxed/${canonicalization}`, 'sha256');
  hasher.update(body);
  return hasher.digest('base64');
}

function ownHash(canonicalization: BodyCanonicalization, pieces: readonly Buffer[]): string {
  const hasher = createBodyHasher(canonicalization);
  for (const piece of pieces) hasher.update(piece);
  return hasher.digest().toString('base64');
}

/** Cuts a body at the given places (any numbers; taken modulo its length). */
function cut(body: Buffer, places: readonly number[]): Buffer[] {
  const at = [...places.map((place) => place % (body.length + 1)), 0, body.length];
  at.sort((a, b) => a - b);
  return at.slice(1).map((end, index) => body.subarray(at[index], end));
}

/** Bodies in which everything that a canonicalisation touches is frequent. */
const bodies = fc
  .array(
    fc.oneof(
      fc.constantFrom(' ', '  ', '\t', ' \t', '\r\n', '\r\n\r\n', ' \r\n', '\t\r\n', '.', 'a', 'é'),
      fc.string({ minLength: 1, maxLength: 40 }).map((text) => text.replace(/[\r\n]/g, '-')),
      fc.integer({ min: 1, max: 90 }).map((length) => 'word and '.repeat(11).slice(0, length)),
      fc.integer({ min: 1, max: 40 }).map((length) => ' '.repeat(length)),
      fc.integer({ min: 1, max: 40 }).map((length) => '\r\n'.repeat(length)),
    ),
    { maxLength: 80 },
  )
  .map((parts) => Buffer.from(parts.join(''), 'utf8'));

const EDGES: Readonly<Record<string, string>> = {
  'the empty body': '',
  'one empty line': '\r\n',
  'a lone WSP line': ' \t \r\n',
  'WSP without a line end': ' \t ',
  'text without a final CRLF': 'text',
  'text and WSP without a final CRLF': 'text \t',
  '10,000 empty lines and then text': `a\r\n${'\r\n'.repeat(10_000)}b\r\n`,
  '10,000 empty lines at the end': `a\r\n${'\r\n'.repeat(10_000)}`,
  '9,000 lines of WSP at the end': `a\r\n${' \t\r\n'.repeat(9_000)}`,
  'WSP of 200,000 octets': `a${' '.repeat(200_000)}b${'\t'.repeat(200_000)}\r\n`,
  '300,000 octets without WSP': 'x'.repeat(300_000),
  '300,000 octets of prose': 'seven words make one line of it\r\n'.repeat(9_100),
  '200,000 octets with a tab in each line': 'a few words\tand more of them\r\n'.repeat(7_000),
  '200,000 octets of changing density': `${'x'.repeat(5_000)}  ${'a  b'.repeat(300)} \r\n`.repeat(
    30,
  ),
};

describe('body hasher', () => {
  for (const canonicalization of ALGORITHMS) {
    it(`gives mailauth's ${canonicalization} hash for any body in any chunking`, () => {
      fc.assert(
        fc.property(bodies, fc.array(fc.nat(4000), { maxLength: 12 }), (body, places) => {
          assert.equal(
            ownHash(canonicalization, cut(body, places)),
            mailauthHash(canonicalization, body),
          );
        }),
        { numRuns: 1500 },
      );
    });

    it(`gives mailauth's ${canonicalization} hash for long bodies`, () => {
      // Longer than each buffer and stretch inside; the repeated part ends anywhere in them.
      fc.assert(
        fc.property(bodies, fc.array(fc.nat(150_000), { maxLength: 3 }), (part, places) => {
          const copies = part.length === 0 ? 0 : Math.ceil(150_000 / part.length);
          const body = Buffer.concat(Array.from({ length: copies }, () => part));
          assert.equal(
            ownHash(canonicalization, cut(body, places)),
            mailauthHash(canonicalization, body),
          );
        }),
        { numRuns: 40 },
      );
    });

    it(`gives mailauth's ${canonicalization} hash one octet at a time`, () => {
      fc.assert(
        fc.property(bodies, (body) => {
          const octets = Array.from(body, (_, index) => body.subarray(index, index + 1));
          assert.equal(ownHash(canonicalization, octets), mailauthHash(canonicalization, body));
        }),
        { numRuns: 300 },
      );
    });

    for (const [name, text] of Object.entries(EDGES)) {
      it(`gives mailauth's ${canonicalization} hash for ${name}`, () => {
        const body = Buffer.from(text);
        const expected = mailauthHash(canonicalization, body);
        for (const size of [1, 3, 4096, 65_537, body.length + 1]) {
          if (size < 100 && body.length > 20_000) continue;
          const places = Array.from(
            { length: Math.floor(body.length / size) },
            (_, index) => index * size,
          );
          assert.equal(ownHash(canonicalization, cut(body, places)), expected, `pieces of ${size}`);
        }
      });
    }
  }

  it('hashes the empty body as RFC 6376 says', () => {
    const simple = createHash('sha256').update('\r\n').digest('base64');
    const relaxed = createHash('sha256').update('').digest('base64');
    assert.equal(ownHash('simple', []), simple);
    assert.equal(simple, 'frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=');
    assert.equal(ownHash('relaxed', []), relaxed);
    assert.equal(relaxed, '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=');
  });

  it('gives the same digest again, for a second signature', () => {
    for (const canonicalization of ALGORITHMS) {
      const hasher = createBodyHasher(canonicalization);
      hasher.update(Buffer.from('text \r'));
      assert.deepEqual(hasher.digest(), hasher.digest());
    }
  });

  it('keeps two bodies apart that are hashed in turns', () => {
    const one = createBodyHasher('relaxed');
    const two = createBodyHasher('relaxed');
    for (let index = 0; index < 50; index++) {
      one.update(Buffer.from('one  and '));
      two.update(Buffer.from('\ttwo \r\n\r\n'));
    }
    assert.equal(
      one.digest().toString('base64'),
      mailauthHash('relaxed', Buffer.from('one  and '.repeat(50))),
    );
    assert.equal(
      two.digest().toString('base64'),
      mailauthHash('relaxed', Buffer.from('\ttwo \r\n\r\n'.repeat(50))),
    );
  });
});
