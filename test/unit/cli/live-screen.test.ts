import assert from 'node:assert/strict';
import { LiveScreen } from '../../../src/cli/live-screen.ts';
import { plainText } from '../../support/terminal.ts';

describe('LiveScreen', () => {
  function screen(columns: number, rows: number) {
    let written = '';
    const window = { columns, rows };
    const live = new LiveScreen({
      stdout: (text) => {
        written += text;
      },
      windowSize: () => window,
    });
    const draw = (...lines: readonly string[]): string => {
      written = '';
      live.draw(lines);
      return written;
    };
    return { live, window, draw };
  }
  const linesOf = (written: string) => plainText(written).split('\n');

  it('clears the window once, and then writes over what stands there', () => {
    const { draw } = screen(80, 24);
    assert.equal(draw('one', 'two'), '\u001b[2J\u001b[Hone\u001b[K\ntwo\u001b[K\n\u001b[J');
    assert.equal(draw('three'), '\u001b[Hthree\u001b[K\n\u001b[J');
  });

  it('breaks lines at blanks, and indents what follows', () => {
    const { draw } = screen(40, 24);
    assert.deepEqual(
      linesOf(draw('  next: example.com: revoke wx202611r1: 2026-12-01 10:00:00Z')),
      ['  next: example.com: revoke wx202611r1:', '      2026-12-01 10:00:00Z', ''],
    );
    const word = 'x'.repeat(95);
    assert.deepEqual(linesOf(draw(word)), [
      word.slice(0, 40),
      `    ${word.slice(0, 36)}`,
      `    ${word.slice(0, 19)}`,
      '',
    ]);
  });

  it('never writes beyond the window, whatever its size', () => {
    for (let columns = 1; columns < 90; columns += 1) {
      for (const rows of [3, 4, 24]) {
        const { draw } = screen(columns, rows);
        const text = 'a bc def  ghij klmno       pqrstuv wxyz'.repeat(4);
        const lines = linesOf(draw(`    ${text}`, text, '', 'x'.repeat(200)));
        assert.ok(lines.length <= rows, `${lines.length} lines in ${columns} × ${rows}`);
        for (const line of lines) assert.ok(line.length <= columns, `${columns}: ${line}`);
      }
    }
  });

  it('follows the window when it is made larger, and says when it is full', () => {
    const { draw, live, window } = screen(60, 4);
    const five = ['1', '2', '3', '4', '5'];
    assert.equal(live.isFilledBy(five.slice(0, 3)), false);
    assert.equal(live.isFilledBy(five), true);
    const more = '… more than fits: name a domain, or make the window larger';
    assert.deepEqual(linesOf(draw(...five)), ['1', '2', more, '']);
    window.rows = 24;
    assert.deepEqual(linesOf(draw(...five)), [...five, '']);
  });

  it('takes a window without a size for endless', () => {
    const { draw, live } = screen(0, 0);
    const long = 'long '.repeat(100);
    assert.deepEqual(linesOf(draw(...Array(100).fill(long))), [...Array(100).fill(long), '']);
    assert.equal(live.isFilledBy(Array(1000).fill('')), false);
  });
});
