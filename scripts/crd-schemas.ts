/**
 * Makes JSON schemas for kubeconform from a CustomResourceDefinition:
 * `node scripts/crd-schemas.ts CRD_YAML OUTPUT_DIRECTORY`. Unknown fields are refused.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

interface Schema {
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
}

interface Definition {
  spec: {
    group: string;
    names: { kind: string };
    versions: { name: string; schema: { openAPIV3Schema: Schema } }[];
  };
}

const [crdFile, output] = process.argv.slice(2);
if (crdFile === undefined || output === undefined) {
  throw new Error('usage: crd-schemas.ts CRD_YAML OUTPUT_DIRECTORY');
}

const { spec }: Definition = parse(readFileSync(crdFile, 'utf8'));
mkdirSync(output, { recursive: true });
for (const { name, schema } of spec.versions) {
  // kubeconform looks for the first label of the group only.
  const file = `${spec.names.kind}-${spec.group.split('.', 1)[0]}-${name}.json`.toLowerCase();
  writeFileSync(join(output, file), JSON.stringify(closed(schema.openAPIV3Schema, true)));
  process.stdout.write(`schema: ${file} written\n`);
}

/** The schema with every object closed that lists its properties; `metadata` lists none. */
function closed(schema: Schema, isTop = false): Schema {
  const copy: Schema = { ...schema };
  if (schema.properties !== undefined) {
    copy.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([key, value]) => [
        key,
        isTop && key === 'metadata' ? value : closed(value),
      ]),
    );
    copy.additionalProperties ??= false;
  }
  if (schema.items !== undefined) copy.items = closed(schema.items);
  return copy;
}
