import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ContentEnd } from '../../../bench/content-end.ts';

/** Feeds the octets in pieces and gives the offset at which the end was found, or -1. */
function findIn(octets: Buffer, pieceLengths: readonly number[]): number {
  const contentEnd = new ContentEnd();
  let offset = 0;
  for (const length of [...pieceLengths, octets.length]) {
    const piece = octets.subarray(offset, offset + length);
    const end = contentEnd.find(piece);
    if (end >= 0) {
      return offset + end;
    }
    offset += piece.length;
  }
  return -1;
}

describe('ContentEnd', () => {
  it('finds the first end of data in whatever pieces the content comes', () => {
    const octets = fc
      .array(fc.constantFrom('\r', '\n', '.', 'a', '\r\n', '\r\n.'))
      .map((parts) => parts.join(''));
    const pieces = fc.array(fc.integer({ min: 1, max: 6 }));
    fc.assert(
      fc.property(octets, pieces, (text, lengths) => {
        const expected = `\r\n${text}`.indexOf('\r\n.\r\n');
        assert.equal(findIn(Buffer.from(text), lengths), expected < 0 ? -1 : expected + 3);
      }),
    );
  });

  it('takes a dot on the first line as an empty message', () => {
    assert.equal(findIn(Buffer.from('.\r\nQUIT\r\n'), [1, 1, 1]), 3);
  });

  it('is ready for the next message after an end', () => {
    const contentEnd = new ContentEnd();
    assert.equal(contentEnd.find(Buffer.from('a\r\n.\r\n')), 6);
    assert.equal(contentEnd.find(Buffer.from('.\r\n')), 3);
  });
});
