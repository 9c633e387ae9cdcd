import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { assembledKernels } from '../../../../scripts/build-kernels.ts';
import {
  ContentScan,
  KERNEL_BLOCK_BYTES,
  relaxed,
} from '../../../../src/base/kernels/octet-kernels.ts';

/** Text of few different octets, so that what matters meets at every distance from a round's end. */
function text(alphabet: string, maxLength = 200): fc.Arbitrary<string> {
  return fc
    .array(fc.constantFrom(...alphabet), { maxLength })
    .map((characters) => characters.join(''));
}

/** RFC 6376 section 3.4.4 a, as it is written there. */
function relaxedPlainly(input: string): string {
  return input.replace(/[ \t]+\r\n/g, '\r\n').replace(/[ \t]+/g, ' ');
}

interface Found {
  readonly index: number;
  readonly line: number;
  readonly longest: number;
}

/** The definition of `ContentScan.next`, octet by octet. */
function scanPlainly(input: string, from: number, atLineStart: boolean, line: number): Found {
  let longest = 0;
  let lineStart = line;
  for (let at = from, first = atLineStart; ; first = false) {
    if (first && input[at] === '.') return { index: at, line: lineStart, longest };
    if (at >= input.length) return { index: input.length, line: lineStart, longest };
    const here = input[at];
    if (here === '\r' && input[at + 1] === '\n') {
      longest = Math.max(longest, at - lineStart);
      at += 2;
      lineStart = at;
      if (input[at] === '.') return { index: at, line: lineStart, longest };
      continue;
    }
    if (here === '\r' || here === '\n' || here === '\0') {
      return { index: at, line: lineStart, longest };
    }
    at += 1;
  }
}

describe('octet kernels', () => {
  it('are those of octet-kernels.wat (else: node scripts/build-kernels.ts)', async () => {
    const file = new URL('../../../../src/base/kernels/octet-kernels.wasm.ts', import.meta.url);
    assert.equal(await readFile(file, 'utf8'), await assembledKernels());
  });

  describe('relaxed', () => {
    it('gives what the rule says, whatever the distance from the end of a round', () => {
      const pieces = fc.array(fc.constantFrom(' ', '  ', '\t', ' \t ', 'a', 'bc', '\r\n', 'é'), {
        maxLength: 120,
      });
      fc.assert(
        fc.property(pieces, (list) => {
          const input = `${list.join('')}x`;
          const octets = Buffer.from(input, 'latin1');
          assert.equal(relaxed(octets).toString('latin1'), relaxedPlainly(input));
        }),
        { numRuns: 3000 },
      );
    });

    it('takes a whole block, and nothing of an earlier one shows', () => {
      relaxed(Buffer.alloc(KERNEL_BLOCK_BYTES, 'y'));
      const block = Buffer.alloc(KERNEL_BLOCK_BYTES, ' ');
      block[KERNEL_BLOCK_BYTES - 1] = 0x78;
      assert.equal(relaxed(block).toString('latin1'), ' x');
      const full = Buffer.alloc(KERNEL_BLOCK_BYTES, 'ab ');
      full[KERNEL_BLOCK_BYTES - 1] = 0x78;
      assert.deepEqual(relaxed(full), full);
      assert.equal(relaxed(Buffer.from('z')).toString(), 'z');
      assert.equal(relaxed(Buffer.alloc(0)).length, 0);
    });

    it('leaves every octet but SP, TAB and CRLF alone', () => {
      const all = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet)).filter(
        (octet) => ![0x09, 0x0a, 0x0d, 0x20].includes(octet),
      );
      assert.deepEqual(relaxed(Buffer.from(all)), Buffer.from(all));
    });
  });

  describe('ContentScan', () => {
    it('finds what its definition says, from any place', () => {
      const cases = fc.record({
        input: text('ab.\r\n\0', 80),
        filler: fc.nat({ max: 40 }),
        from: fc.nat({ max: 30 }),
        atLineStart: fc.boolean(),
        line: fc.integer({ min: -5, max: 0 }),
      });
      fc.assert(
        fc.property(cases, ({ input, filler, from, atLineStart, line }) => {
          const whole = `${'x'.repeat(filler)}${input}`;
          const at = Math.min(from, whole.length);
          const scan = new ContentScan(Buffer.from(whole, 'latin1'), line);
          const index = scan.next(at, atLineStart);
          const found: Found = { index, line: scan.line, longest: scan.longest };
          assert.deepEqual(found, scanPlainly(whole, at, atLineStart, line));
        }),
        { numRuns: 5000 },
      );
    });

    it('goes through a whole block of lines, and counts the longest', () => {
      const lines = 'x'.repeat(76).concat('\r\n').repeat(839);
      const long = `${'y'.repeat(KERNEL_BLOCK_BYTES - lines.length - 2)}\r\n`;
      const octets = Buffer.from(lines + long);
      assert.equal(octets.length, KERNEL_BLOCK_BYTES);
      const scan = new ContentScan(octets, -10);
      assert.equal(scan.next(0, false), KERNEL_BLOCK_BYTES);
      assert.equal(scan.line, KERNEL_BLOCK_BYTES);
      assert.equal(scan.longest, Math.max(86, long.length - 2));
    });

    it('does not see what an earlier block left behind its end', () => {
      new ContentScan(Buffer.from('\n.\r\n.\r\n.'), 0).next(0, false);
      const scan = new ContentScan(Buffer.from('\r'), 0);
      assert.equal(scan.next(0, false), 0);
      const open = new ContentScan(Buffer.from('a\r\n'), 0);
      assert.equal(open.next(0, false), 3);
    });
  });
});
