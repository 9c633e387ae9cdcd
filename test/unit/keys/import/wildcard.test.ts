import assert from 'node:assert/strict';
import { isWildcardPattern, matchesWildcard } from '../../../../src/keys/import/opendkim-table.ts';

describe('wildcards of a refile', () => {
  const rows: readonly [string, string, boolean][] = [
    ['*@example.com', 'joe@example.com', true],
    ['*@example.com', 'joe@example.com.net', false],
    ['*@example.com', 'joe@exampleXcom', false],
    ['*@*.example.com', 'joe@a.b.example.com', true],
    ['*@*.example.com', 'joe@example.com', false],
    ['*example.com', 'joe@notexample.com', true],
    ['joe+*@example.com', 'joe+list@example.com', true],
    ['*', '', true],
    ['**', 'x', true],
    ['', '', true],
    ['', 'x', false],
    ['a*b*c', 'axxbxxbc', true],
    ['a*b*c', 'axxbxx', false],
  ];
  for (const [pattern, text, expected] of rows) {
    it(`"${pattern}" ${expected ? 'stands for' : 'does not stand for'} "${text}"`, () => {
      assert.equal(matchesWildcard(pattern, text), expected);
    });
  }

  it('are matched in bounded time, whatever stands in them', () => {
    const pattern = `${'*a'.repeat(400)}b`;
    assert.equal(matchesWildcard(pattern, 'a'.repeat(4000)), false);
  });

  it('hold no signs of regular expressions', () => {
    assert.ok(isWildcardPattern('*@sub.example.com'));
    for (const sign of '\\^$|?()[]{}') assert.ok(!isWildcardPattern(`*@${sign}example.com`));
  });
});
