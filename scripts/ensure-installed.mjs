/**
 * Runs before every npm script, on whatever Node >= 20 the machine has: installs the dependencies
 * when they are missing or differ from package-lock.json, and is silent otherwise. One of them is
 * Node 24 itself, which npm then finds first on the PATH of the script proper.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const OLDEST_NODE = 20;
const root = resolve(process.argv[2] ?? join(fileURLToPath(import.meta.url), '../..'));
const ownTools = join(root, 'node_modules', '.bin');

const major = Number(process.versions.node.split('.')[0]);
if (major < OLDEST_NODE) {
  fail(`Node ${OLDEST_NODE} or newer is needed to install Waxseal; this is ${process.version}.`);
}

const reason = staleReason();
if (reason !== undefined) {
  process.stdout.write(`Installing dependencies with "npm ci" (${reason}) ...\n`);
  const startedMs = Date.now();
  install();
  const remaining = staleReason();
  if (remaining !== undefined) {
    fail(`"npm ci" ended well, but ${remaining}. Were install scripts switched off?`);
  }
  process.stdout.write(`Installed in ${((Date.now() - startedMs) / 1000).toFixed(1)} s.\n`);
}

/** Why the dependencies must be installed, or undefined when they are as the lock file says. */
function staleReason() {
  const wanted = packagesOf(join(root, 'package-lock.json'));
  if (wanted === undefined) fail('package-lock.json cannot be read; is this a complete clone?');
  const present = packagesOf(join(root, 'node_modules', '.package-lock.json'));
  if (present === undefined) return 'there is no node_modules yet';
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const found = present[path];
    // Optional ones are builds for other operating systems: npm leaves them out.
    if (found === undefined && entry.optional !== true) return `${path} is missing`;
    if (found !== undefined && found.integrity !== entry.integrity) {
      return `${path} is not the version of package-lock.json`;
    }
  }
  return nodeReason(wanted['node_modules/node']?.version);
}

/** The `node` package has its binary only once its install script ran. */
function nodeReason(wantedVersion) {
  const answer = spawnSync(join(ownTools, 'node'), ['--version'], { encoding: 'utf8' });
  if (answer.stdout?.trim() === `v${wantedVersion}`) return undefined;
  return `node_modules/.bin/node is not Node ${wantedVersion}`;
}

function packagesOf(lockFile) {
  try {
    return JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

function install() {
  // npm must not run on the Node that it is about to replace, so our own tools leave the PATH.
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== ownTools);
  const env = { ...process.env, PATH: path.join(delimiter) };
  for (const name of Object.keys(env)) {
    // What the surrounding `npm run` says about itself does not concern this npm.
    if (/^npm_(lifecycle|package|command|node_execpath|execpath)/.test(name)) delete env[name];
  }
  const result = spawnSync(
    'npm',
    // Errors only: on an older Node npm warns about engines, though Node 24 is what will run.
    ['ci', '--no-audit', '--no-fund', '--include=dev', '--loglevel=error'],
    { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  if (result.error !== undefined) fail(`npm cannot be run: ${result.error.message}`);
  if (result.status !== 0) {
    fail('"npm ci" failed; its message stands above. The package registry must be reachable.');
  }
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
