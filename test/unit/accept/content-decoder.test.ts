import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ContentDecoder } from '../../../src/accept/content-decoder.ts';
import type { ContentFacts } from '../../../src/mail/transaction.ts';

interface Result {
  readonly content: string;
  readonly rest: string | undefined;
  readonly facts: ContentFacts;
}

/** Slow and obvious: what decoding means, on the whole input at once. */
function reference(input: string): Result {
  const end = `\r\n${input}`.indexOf('\r\n.\r\n');
  const raw = end < 0 ? input : input.slice(0, end);
  const rest = end < 0 ? undefined : input.slice(end + 3);
  const lines = raw.split('\r\n').map((line) => {
    const decoded = line.startsWith('.') ? line.slice(1) : line;
    return decoded.replaceAll('\r', ' ').replaceAll('\0', ' ').replaceAll('\n', '\r\n');
  });
  const content = lines.join('\r\n');
  return {
    content,
    rest,
    facts: {
      bytes: content.length,
      strayLineEnds: /\r(?!\n)|(?<!\r)\n/.test(raw),
      nul: raw.includes('\0'),
      longestLine: Math.max(...content.split('\r\n').map((line) => line.length)),
    },
  };
}

/** Decodes the input cut at the given places; each chunk is copied, at an odd offset. */
function decode(input: string, cuts: readonly number[]): Result {
  const octets = Buffer.from(input, 'latin1');
  const decoder = new ContentDecoder();
  const pieces: string[] = [];
  const places = [...new Set(cuts.map((cut) => cut % (octets.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...places, octets.length]) {
    const room = Buffer.alloc(to - from + 3);
    octets.copy(room, 3 - (from % 4), from, to);
    const chunk = room.subarray(3 - (from % 4)).subarray(0, to - from);
    from = to;
    const { pieces: some, rest } = decoder.push(chunk);
    for (const piece of some) {
      assert.ok(piece.length > 0);
      pieces.push(piece.toString('latin1'));
    }
    if (rest !== undefined) {
      const after = rest.toString('latin1') + octets.toString('latin1', from);
      return { content: pieces.join(''), rest: after, facts: decoder.facts };
    }
  }
  return { content: pieces.join(''), rest: undefined, facts: decoder.facts };
}

describe('ContentDecoder', () => {
  it('passes clean text on without copying it', () => {
    const chunk = Buffer.from('Subject: x\r\n\r\nline one\r\nline two\r\n');
    const { pieces, rest } = new ContentDecoder().push(chunk);
    assert.equal(pieces.length, 1);
    assert.equal(pieces[0]!.buffer, chunk.buffer);
    assert.equal(pieces[0]!.length, chunk.length);
    assert.equal(rest, undefined);
  });

  it('ends at CRLF.CRLF, and at .CRLF as the first line, and gives the rest back', () => {
    assert.deepEqual(decode('a\r\n.\r\nRSET\r\n', []).content, 'a\r\n');
    assert.deepEqual(decode('a\r\n.\r\nRSET\r\n', []).rest, 'RSET\r\n');
    assert.deepEqual(decode('.\r\nRSET\r\n', [1, 2]).content, '');
    assert.deepEqual(decode('.\r\nRSET\r\n', [1, 2]).rest, 'RSET\r\n');
  });

  it('hands out a lone dot line as content', () => {
    assert.equal(decode('a\r\n..\r\nb\r\n.\r\n', []).content, 'a\r\n.\r\nb\r\n');
    assert.equal(decode('a\n.\r\nb\r\n.\r\n', []).content, 'a\r\n.\r\nb\r\n');
  });

  it('agrees with the reference on every text of up to six octets, in any two chunks and octet by octet', () => {
    const alphabet = ['\r', '\n', '\0', '.', 'a'];
    const check = (text: string): void => {
      const input = `${text}\r\n.\r\nNEXT`;
      const expected = reference(input);
      const each = Array.from({ length: input.length }, (_, index) => index);
      const same = (cuts: readonly number[]) =>
        assert.deepEqual(decode(input, cuts), expected, JSON.stringify([text, cuts]));
      for (const cut of each) same([cut]);
      same(each);
      if (text.length === 6) return;
      for (const octet of alphabet) check(text + octet);
    };
    check('');
  });

  it('agrees with the reference on any text in any chunking, ended or not', () => {
    const word = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom('\r\n', '\r\n.', '.', '\r', '\n', '\0', '\t', 'a') },
      { weight: 2, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 40 }) },
      { weight: 1, arbitrary: fc.nat(300).map((length) => 'x\u00e9'.repeat(length)) },
      { weight: 1, arbitrary: fc.constant('\r\n.\r\n') },
    );
    fc.assert(
      fc.property(
        fc.array(word, { maxLength: 30 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (words, cuts) => {
          const input = words.join('');
          const expected = reference(input);
          const actual = decode(input, cuts);
          if (expected.rest !== undefined) {
            assert.deepEqual(actual, expected);
            return;
          }
          // Without an end the last octets may still be held back.
          assert.equal(actual.rest, undefined);
          assert.deepEqual(decode(`${input}\r\n.\r\n`, cuts), reference(`${input}\r\n.\r\n`));
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('tracks the length of a line through chunks without keeping it', () => {
    const decoder = new ContentDecoder();
    for (let index = 0; index < 40; index += 1) decoder.push(Buffer.alloc(1000, 'a'));
    assert.equal(decoder.facts.longestLine, 40_000);
    decoder.push(Buffer.from('b\r\nshort\r\n.\r\n'));
    assert.equal(decoder.facts.longestLine, 40_001);
  });
});
