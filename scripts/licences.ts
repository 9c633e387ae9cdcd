/**
 * Checks the licence of every installed package, transitive ones included, by its own
 * package.json, and that docs/dependencies.md says the same. Prints one line a licence.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { closureOf, type LockedPackages, readLock, readManifest } from './lock-file.ts';

/** Licences (SPDX) that put no condition on our users beyond keeping a notice. */
const PERMISSIVE: ReadonlySet<string> = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'ISC',
  'MIT',
  'MIT-0',
  'Unlicense',
]);

const root = join(import.meta.dirname, '..');
const manifest = readManifest(root);
const lock = readLock(root);
const faults: string[] = [];

const counts = new Map<string, number>();
for (const [place, locked] of lock) {
  // A build for another operating system is not there to be read; its parent is.
  if (!existsSync(join(root, place, 'package.json'))) {
    if (locked.optional !== true) faults.push(`${place} is not installed; run "npm ci"`);
    continue;
  }
  const licence = licenceOf(place);
  const kind = locked.dev === true ? 'tools' : 'shipped';
  counts.set(`${kind}: ${licence}`, (counts.get(`${kind}: ${licence}`) ?? 0) + 1);
  if (!isAllowed(licence)) {
    faults.push(`${place}: the licence "${licence}" is not on the list in scripts/licences.ts`);
  }
}
checkDocument(lock);

for (const [licence, count] of [...counts].sort()) process.stdout.write(`${licence}: ${count}\n`);
for (const fault of faults) process.stdout.write(`licences: ${fault}\n`);
process.exitCode = faults.length > 0 ? 1 : 0;

function licenceOf(place: string): string {
  const text = readFileSync(join(root, place, 'package.json'), 'utf8');
  const { license }: { license?: unknown } = JSON.parse(text);
  return typeof license === 'string' ? license : 'none given';
}

/** SPDX expressions of one level: `A OR B` needs one good one, `A AND B` both. */
function isAllowed(expression: string): boolean {
  const isGood = (id: string) => PERMISSIVE.has(id);
  const bare = expression.replace(/[()]/g, '');
  if (bare.includes(' OR ')) return bare.split(' OR ').some(isGood);
  return bare.split(' AND ').every(isGood);
}

/** Each direct dependency has a row `| name | licence | packages | reason |` in the document. */
function checkDocument(packages: LockedPackages): void {
  const rows = new Map<string, string[]>();
  for (const line of readFileSync(join(root, 'docs/dependencies.md'), 'utf8').split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim().replaceAll('`', ''));
    if (cells.length >= 6 && cells[1] !== undefined) rows.set(cells[1], cells);
  }
  const direct = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  for (const name of direct) {
    const place = `node_modules/${name}`;
    const licence = licenceOf(place);
    const brought = closureOf(packages, place).size - 1;
    const row = rows.get(name);
    if (row?.[2] !== licence || row[3] !== String(brought)) {
      faults.push(`docs/dependencies.md lacks the row: | \`${name}\` | ${licence} | ${brought} |`);
    }
    rows.delete(name);
  }
  for (const name of rows.keys()) {
    if (name === 'name' || name.startsWith('---')) continue;
    faults.push(`docs/dependencies.md has a row for ${name}, which package.json does not name`);
  }
}
