/** Builds `dist/` afresh: plain JavaScript for a release, with `dist/cli.js` executable. */
import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
rmSync(join(root, 'dist'), { recursive: true, force: true });
const compiler = spawnSync(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'],
  { cwd: root, stdio: 'inherit' },
);
if (compiler.status === 0) {
  chmodSync(join(root, 'dist/cli.js'), 0o755);
} else {
  process.exitCode = 1;
}
