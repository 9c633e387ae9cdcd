import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DotEncoder } from '../../../src/relay/dot-encoder.ts';

function encode(pieces: readonly Buffer[]): string {
  const encoder = new DotEncoder();
  const encoded = pieces.map((piece) => encoder.encode(piece));
  return Buffer.concat([...encoded, encoder.end()]).toString('latin1');
}

/** What RFC 5321 section 4.5.2 says, written for clarity. */
function expected(content: string): string {
  const complete = content === '' || content.endsWith('\r\n') ? content : `${content}\r\n`;
  return `${complete.replace(/^\./, '..').replaceAll('\r\n.', '\r\n..')}.\r\n`;
}

describe('DotEncoder', () => {
  it('passes a piece without leading dots on uncopied', () => {
    const piece = Buffer.from('a.b\r\nc.\r\n');
    assert.equal(new DotEncoder().encode(piece), piece);
  });

  it('doubles leading dots and ends the data', () => {
    assert.equal(encode([Buffer.from('.\r\n..\r\na.\r\n.b')]), '..\r\n...\r\na.\r\n..b\r\n.\r\n');
    assert.equal(encode([]), '.\r\n');
  });

  it('sees a line start across pieces', () => {
    assert.equal(
      encode([Buffer.from('a\r\n'), Buffer.from('.b\r'), Buffer.from('\n.')]),
      'a\r\n..b\r\n..\r\n.\r\n',
    );
  });

  it('lets no end of data stand inside, even behind a bare LF', () => {
    assert.equal(encode([Buffer.from('a\n.\nb\n')]), 'a\n..\nb\n\r\n.\r\n');
  });

  it('encodes the same in any chunking', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('.', '\r\n', 'a', '..', '\r\n.\r\n', 'text of a line'), {
          maxLength: 60,
        }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        (parts, cuts) => {
          const content = Buffer.from(parts.join(''));
          const pieces: Buffer[] = [];
          for (let at = 0, i = 0; at < content.length; i += 1) {
            const size = cuts[i % cuts.length] ?? 1;
            pieces.push(content.subarray(at, at + size));
            at += size;
          }
          assert.equal(encode(pieces), expected(content.toString()));
        },
      ),
    );
  });
});
