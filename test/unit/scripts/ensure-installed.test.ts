import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SCRIPT = join(import.meta.dirname, '../../../scripts/ensure-installed.mjs');

/** Takes npm's place: notes that it was called, and installs what the lock file says. */
const INSTALLS = `
echo "$@" >>npm-calls
mkdir -p node_modules/.bin
cp package-lock.json node_modules/.package-lock.json
printf '#!/bin/sh\\necho v24.21.0\\n' >node_modules/.bin/node
chmod 755 node_modules/.bin/node
`;

describe('scripts/ensure-installed', () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'waxseal-install-'));
    mkdirSync(join(root, 'fake'));
    lock('sha512-a');
  });

  afterEach(() => rmSync(root, { recursive: true }));

  function lock(integrity: string): void {
    const packages = {
      '': { name: 'waxseal' },
      'node_modules/node': { version: '24.21.0', integrity: 'sha512-node' },
      'node_modules/yaml': { version: '2.0.0', integrity },
      'node_modules/for-another-system': { version: '1.0.0', optional: true },
    };
    writeFileSync(join(root, 'package-lock.json'), JSON.stringify({ packages }));
  }

  function fakeNpm(script: string): void {
    writeFileSync(join(root, 'fake/npm'), `#!/bin/sh\n${script}`);
    chmodSync(join(root, 'fake/npm'), 0o755);
  }

  function run(): { code: number | null; out: string; complaint: string } {
    const env = { ...process.env, PATH: `${join(root, 'fake')}:/usr/bin:/bin` };
    const result = spawnSync(process.execPath, [SCRIPT, root], { encoding: 'utf8', env });
    return { code: result.status, out: result.stdout, complaint: result.stderr };
  }

  it('installs once, says why, and is silent from then on', () => {
    fakeNpm(INSTALLS);
    const first = run();
    assert.equal(first.code, 0);
    assert.match(first.out, /^Installing .*"npm ci" \(there is no node_modules yet\)/);
    assert.deepEqual(run(), { code: 0, out: '', complaint: '' });
    assert.match(readFileSync(join(root, 'npm-calls'), 'utf8'), /^ci [^\n]*\n$/);
  });

  it('installs again when the lock file changed', () => {
    fakeNpm(INSTALLS);
    run();
    lock('sha512-b');
    const again = run();
    assert.equal(again.code, 0);
    assert.match(again.out, /node_modules\/yaml is not the version of package-lock\.json/);
  });

  it('fails when npm does', () => {
    fakeNpm('echo "no network" >&2; exit 7');
    const { code, complaint } = run();
    assert.equal(code, 1);
    assert.match(complaint, /no network\n"npm ci" failed/);
  });

  it('fails when npm ran no install script, so that there is no Node 24', () => {
    fakeNpm(INSTALLS.replace('chmod 755', 'rm'));
    const { code, complaint } = run();
    assert.equal(code, 1);
    assert.match(complaint, /node is not Node 24\.21\.0\. Were install scripts switched off\?/);
  });
});
