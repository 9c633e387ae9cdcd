/** Reads package.json and package-lock.json for the checks beside this file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the project's package.json says about its dependencies. */
export interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly allowScripts: Readonly<Record<string, boolean>>;
}

/** One installed package, as the lock file (version 3) describes it. */
export interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly deprecated?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** Packages by their place, e.g. `node_modules/a/node_modules/b`; the project itself left out. */
export type LockedPackages = ReadonlyMap<string, LockedPackage>;

export function readManifest(root: string): Manifest {
  const manifest: Partial<Manifest> = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return { dependencies: {}, devDependencies: {}, allowScripts: {}, ...manifest };
}

export function readLock(root: string): LockedPackages {
  const text = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const lock: { packages: Record<string, LockedPackage> } = JSON.parse(text);
  return new Map(Object.entries(lock.packages).filter(([place]) => place !== ''));
}

/**
 * Where Node finds `name` when the package at `place` asks for it.
 *
 * @param place of the package that asks; '' for the project itself
 */
export function placeOf(lock: LockedPackages, place: string, name: string): string | undefined {
  const candidate = place === '' ? `node_modules/${name}` : `${place}/node_modules/${name}`;
  if (lock.has(candidate)) return candidate;
  if (place === '') return undefined;
  // One level up: `node_modules/a/node_modules/b` is asked for by a, then by the project.
  return placeOf(lock, place.slice(0, Math.max(0, place.lastIndexOf('node_modules/') - 1)), name);
}

/** All places that the package at `start` needs, itself included; optional ones left out. */
export function closureOf(lock: LockedPackages, start: string): Set<string> {
  const reached = new Set<string>();
  const open = [start];
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    if (reached.has(place)) continue;
    reached.add(place);
    for (const name of Object.keys(lock.get(place)?.dependencies ?? {})) {
      const next = placeOf(lock, place, name);
      if (next !== undefined) open.push(next);
    }
  }
  return reached;
}
