import { readFileSync } from 'node:fs';

/** The version in package.json, which stands two folders above this file (src/cli or dist/cli). */
export function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const parsed = JSON.parse(text) as { readonly version: string };
  return parsed.version;
}
