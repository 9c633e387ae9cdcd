import assert from 'node:assert/strict';
import { contentLines, fileContent, wireContent } from '../../../bench/content.ts';

describe('bench content', () => {
  for (const kind of ['mime', 'prose'] as const) {
    for (const bytes of [1024, 102_400]) {
      it(`makes ${kind} of ${bytes} octets, to within a line`, () => {
        const lines = contentLines({ kind, bytes, fromDomain: 'rsa.example' });
        const size = lines.reduce((sum, line) => sum + line.length + 2, 0);
        assert.ok(Math.abs(size - bytes) <= 3, `${size} octets`);
      });
    }
  }

  it('puts leading dots and blanks at line ends into prose', () => {
    const lines = contentLines({ kind: 'prose', bytes: 102_400, fromDomain: 'rsa.example' });
    assert.ok(lines.some((line) => line.startsWith('.')));
    assert.ok(lines.some((line) => /[ \t]$/.test(line)));
    assert.ok(lines.some((line) => /[ \t]{2}/.test(line)));
  });

  it('stuffs dots on the wire and not in a file', () => {
    assert.equal(wireContent(['a', '.b']).toString(), 'a\r\n..b\r\n.\r\n');
    assert.equal(fileContent(['a', '.b']).toString(), 'a\n.b\n');
  });
});
