import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const CHECKER = join(import.meta.dirname, '../../../scripts/check-tracked.ts');

describe('scripts/check-tracked', () => {
  let root: string;

  before(function () {
    this.timeout(60_000);
    root = mkdtempSync(join(tmpdir(), 'waxseal-tracked-'));
    execFileSync('git', ['init', '--quiet'], { cwd: root });
  });

  after(() => rmSync(root, { recursive: true }));

  function check(text: string): { code: number | null; out: string } {
    writeFileSync(join(root, 'a.md'), text);
    execFileSync('git', ['add', 'a.md'], { cwd: root });
    const result = spawnSync(process.execPath, [CHECKER, root], { encoding: 'utf8' });
    assert.equal(result.stderr, '');
    return { code: result.status, out: result.stdout };
  }

  it('passes ordinary text, URLs and paths of the project', () => {
    const text = 'see https://example.com/home/x, src/work/y.ts and /etc/waxseal\n';
    assert.equal(check(text).code, 0);
  });

  it('refuses registries and places on a machine, with file and line', () => {
    // In pieces, since this file is tracked too.
    const registry = ['registry', 'npmjs', 'org'].join('.');
    const [root, home] = [['', 'root', 'x'].join('/'), ['', 'home', 'anna', 'x'].join('/')];
    const { code, out } = check(`first\nhttps://${registry}/yaml\n"${root}"\nfine\ncd ${home}\n`);
    assert.equal(code, 1);
    assert.deepEqual(
      [...out.matchAll(/^(a\.md:\d): names a registry or a machine's path: /gm)].map((m) => m[1]),
      ['a.md:2', 'a.md:3', 'a.md:5'],
    );
  });
});
