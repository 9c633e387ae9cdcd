/**
 * Audit of the dependencies: what the lock file itself can show, and then the advisories of the
 * registry. Where the registry serves no advisories, that is said in so many words;
 * `WAXSEAL_REQUIRE_ADVISORIES=1` makes it a failure.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type LockedPackage, placeOf, readLock, readManifest } from './lock-file.ts';

const root = join(import.meta.dirname, '..');
const manifest = readManifest(root);
const lock = readLock(root);

const faults = [
  ...pinFaults(),
  ...[...lock].flatMap(([place, locked]) => lockFaults(place, locked)),
];
const advisories = askForAdvisories();
process.stdout.write(`audit: ${lock.size} locked packages read; ${advisories.report}\n`);
if (advisories.isFault) faults.push(advisories.report);
for (const fault of faults) process.stdout.write(`audit: ${fault}\n`);
process.exitCode = faults.length > 0 ? 1 : 0;

function pinFaults(): string[] {
  const direct = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
  return direct
    .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
    .map(([name, version]) => `package.json: ${name} "${version}" is not one exact version`);
}

function lockFaults(place: string, locked: LockedPackage): string[] {
  const found: string[] = [];
  const name = place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
  if (locked.resolved !== undefined) found.push('names the registry it came from');
  if (!locked.integrity?.startsWith('sha512-')) found.push('has no SHA-512 checksum');
  if (locked.deprecated !== undefined && locked.dev !== true) {
    found.push(`is deprecated: ${locked.deprecated}`);
  }
  if (locked.hasInstallScript === true && manifest.allowScripts[name] !== true) {
    found.push('runs an install script and is not named in allowScripts');
  }
  const needed = Object.keys({ ...locked.dependencies, ...locked.optionalDependencies });
  const lacking = needed.filter((other) => placeOf(lock, place, other) === undefined);
  // npm ci on another operating system would refuse such a lock file.
  if (lacking.length > 0) found.push(`needs what the lock file lacks: ${lacking.join(', ')}`);
  return found.map((fault) => `package-lock.json: ${place} ${fault}`);
}

/** Production dependencies only: tools do not run where the mail is. */
function askForAdvisories(): { report: string; isFault: boolean } {
  const args = ['audit', '--omit=dev', '--json', '--loglevel=silent'];
  const { stdout } = spawnSync('npm', args, { cwd: root, encoding: 'utf8' });
  const counts = countsOf(stdout ?? '');
  if (counts === undefined) {
    const report = 'ADVISORIES NOT CHECKED: the registry in use does not serve them';
    return { report, isFault: process.env.WAXSEAL_REQUIRE_ADVISORIES === '1' };
  }
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const list = Object.entries(counts).map(([severity, count]) => `${count} ${severity}`);
  if (total === 0) return { report: 'no advisory concerns a shipped package', isFault: false };
  return { report: `advisories concern shipped packages: ${list.join(', ')}`, isFault: true };
}

function countsOf(output: string): Record<string, number> | undefined {
  try {
    const answer: { metadata?: { vulnerabilities?: Record<string, number> } } = JSON.parse(output);
    const { total: _total, ...counts } = answer.metadata?.vulnerabilities ?? {};
    return answer.metadata === undefined ? undefined : counts;
  } catch {
    return undefined;
  }
}
