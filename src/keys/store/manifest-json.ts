import { KeysError } from '../keys-error.ts';
import { MANIFEST_VERSION, type Manifest, type ManifestDomain } from '../manifest.ts';
import { readManifest } from '../read-manifest.ts';
import { SchemaReader } from '../schema-reader.ts';

/**
 * A shard as JSON, for stores that only programs write: the same manifest as in YAML (which JSON
 * is), a hundred times faster to parse.
 */
export function renderShard({ generation, domains }: Manifest): string {
  const entries = domains.map((entry) => [entry.domain, withoutName(entry)]);
  const value = { version: MANIFEST_VERSION, generation, domains: Object.fromEntries(entries) };
  return `${JSON.stringify(value)}\n`;
}

/** @throws KeysError `manifest-invalid` */
export function parseShard(text: string, where: string): Manifest {
  let root: unknown;
  try {
    root = withMaps(JSON.parse(text));
  } catch {
    throw new KeysError('manifest-invalid', `${where} is no JSON`); // its own words quote the text
  }
  const reader = new SchemaReader();
  const manifest = readManifest(root, reader);
  const [problem] = reader.problems;
  if (problem === undefined) return manifest;
  const message = `${where}: ${problem.path.join('.')} ${problem.message}`;
  throw new KeysError('manifest-invalid', message);
}

function withoutName({ domain: _, ...rest }: ManifestDomain): Omit<ManifestDomain, 'domain'> {
  return rest;
}

/** Mappings as `Map`, as the YAML parser gives them: no name in a text means anything to us. */
function withMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withMaps);
  if (typeof value !== 'object' || value === null) return value;
  return new Map(Object.entries(value).map(([name, item]) => [name, withMaps(item)]));
}
