import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type ParsedReply, ReplyParser } from '../../../src/mail/reply-parser.ts';

function parse(...chunks: (string | Buffer)[]): ParsedReply[] {
  const parser = new ReplyParser();
  return chunks.flatMap((chunk) => [
    ...parser.push(typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk),
  ]);
}

function malformed(...chunks: string[]): string {
  const found = parse(...chunks);
  const last = found.at(-1);
  assert.equal(last?.kind, 'malformed', JSON.stringify(found));
  return last?.kind === 'malformed' ? last.what : '';
}

describe('ReplyParser', () => {
  it('takes one line, several lines, and a code without text', () => {
    assert.deepEqual(parse('250 2.1.0 ok\r\n250-a\r\n250-\r\n250 b\r\n221\r\n'), [
      { kind: 'reply', code: 250, lines: ['2.1.0 ok'] },
      { kind: 'reply', code: 250, lines: ['a', '', 'b'] },
      { kind: 'reply', code: 221, lines: [''] },
    ]);
  });

  it('keeps escape sequences and octets over 127 as they are', () => {
    const found = parse(Buffer.from('550 \x1b[31m\xe9\t\r\n', 'latin1'));
    assert.deepEqual(found, [{ kind: 'reply', code: 550, lines: ['\x1b[31m\xe9\t'] }]);
  });

  it('says what is wrong', () => {
    assert.match(malformed('25\r\n'), /does not start with a code/);
    assert.match(malformed('999 x\r\n'), /does not start with a code/);
    assert.match(malformed('199 x\r\n'), /does not start with a code/);
    assert.match(malformed('ok\r\n'), /does not start with a code/);
    assert.match(malformed('\r\n'), /empty line/);
    assert.match(malformed('250ok\r\n'), /no separator/);
    assert.match(malformed('2500 ok\r\n'), /no separator/);
    assert.match(malformed('250-a\r\n550 b\r\n'), /differing codes \(250, 550\)/);
    assert.match(malformed('250 a\n'), /bare LF/);
    assert.match(malformed('\n'), /bare LF/);
    assert.match(malformed('250 a\nb\r\n'), /bare LF/);
    assert.match(malformed('250 a\rb\r\n'), /bare CR/);
    assert.match(malformed('250 a\0b\r\n'), /NUL/);
  });

  it('parses nothing behind a malformed reply', () => {
    const parser = new ReplyParser();
    assert.equal(parser.push(Buffer.from('250 a\nMAIL\r\n250 b\r\n')).length, 1);
    assert.deepEqual(parser.push(Buffer.from('250 c\r\n')), []);
    assert.equal(parser.pending, false);
  });

  it('bounds lines and octets of one reply, not of a session', () => {
    assert.equal(parse(`${'250-x\r\n'.repeat(63)}250 x\r\n`)[0]?.kind, 'reply');
    assert.match(malformed('250-x\r\n'.repeat(65)), /more than 64 lines/);
    const longest = `250 ${'x'.repeat(8192 - 6)}\r\n`;
    assert.equal(parse(longest, longest)[1]?.kind, 'reply');
    assert.match(malformed(`250 ${'x'.repeat(8192 - 5)}\r\n`), /longer than 8192/);
    assert.match(malformed('250 ', 'x'.repeat(8189)), /longer than 8192/);
  });

  it('knows when a reply has begun', () => {
    const parser = new ReplyParser();
    assert.equal(parser.pending, false);
    parser.push(Buffer.from('2'));
    assert.equal(parser.pending, true);
    parser.push(Buffer.from('50-a\r\n'));
    assert.equal(parser.pending, true);
    parser.push(Buffer.from('250 b\r\n'));
    assert.equal(parser.pending, false);
  });

  it('finds the same in any chunking, and never throws', () => {
    const piece = fc.oneof(
      fc.constantFrom('250', '550', '354', ' ', '-', '\r\n', '\n', '\r', '\0', 'x', '25', '999'),
      fc.constantFrom(
        '250 ok\r\n',
        '250-a\r\n250 b\r\n',
        '550-no\r\n',
        `250 ${'y'.repeat(5000)}\r\n`,
      ),
      fc.string({ maxLength: 8 }),
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 100 }),
        fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 30 }),
        (pieces, cuts) => {
          const octets = Buffer.from(pieces.join(''), 'latin1');
          const whole = parse(octets);
          const parser = new ReplyParser();
          const inChunks: ParsedReply[] = [];
          for (let at = 0, i = 0; at < octets.length; i += 1) {
            const size = cuts[i % cuts.length] ?? 1;
            inChunks.push(...parser.push(octets.subarray(at, at + size)));
            at += size;
          }
          assert.deepEqual(inChunks, whole);
        },
      ),
      { numRuns: 300 },
    );
  });
});
