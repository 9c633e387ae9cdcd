/**
 * Makes JSON schemas for kubeconform from the API description that Kubernetes itself publishes:
 * `node scripts/kubernetes-schemas.ts SWAGGER_JSON OUTPUT_DIRECTORY`. Unknown fields are refused,
 * as the API server does with strict field validation.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Schema {
  type?: string;
  format?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  'x-kubernetes-group-version-kind'?: { group: string; version: string; kind: string }[];
}

/** Types that the description calls strings, and the API also takes as numbers. */
const ALSO_NUMBERS: Readonly<Record<string, string[]>> = {
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': ['string', 'integer'],
  'io.k8s.apimachinery.pkg.api.resource.Quantity': ['string', 'number'],
};

const [swaggerFile, output] = process.argv.slice(2);
if (swaggerFile === undefined || output === undefined) {
  throw new Error('usage: kubernetes-schemas.ts SWAGGER_JSON OUTPUT_DIRECTORY');
}

const swagger: { definitions: Record<string, Schema> } = JSON.parse(
  readFileSync(swaggerFile, 'utf8'),
);
mkdirSync(output, { recursive: true });

let kinds = 0;
const definitions: Record<string, unknown> = {};
for (const [name, schema] of Object.entries(swagger.definitions)) {
  const types = ALSO_NUMBERS[name];
  definitions[name] = types === undefined ? closed(schema) : { type: types };
  for (const { group, version, kind } of schema['x-kubernetes-group-version-kind'] ?? []) {
    // kubeconform looks for the first label of the group only.
    const suffix = group === '' ? version : `${group.split('.', 1)[0]}-${version}`;
    const file = join(output, `${kind}-${suffix}.json`.toLowerCase());
    writeFileSync(file, JSON.stringify({ $ref: `definitions.json#/definitions/${name}` }));
    kinds += 1;
  }
}
writeFileSync(join(output, 'definitions.json'), JSON.stringify({ definitions }));
process.stdout.write(`schemas: ${kinds} kinds written\n`);

/** The schema with every object closed that lists its properties. */
function closed(schema: Schema): Schema {
  const copy: Schema = { ...schema };
  if (schema.properties !== undefined) {
    copy.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([key, value]) => [key, closed(value)]),
    );
    copy.additionalProperties ??= false;
  }
  if (typeof schema.additionalProperties === 'object') {
    copy.additionalProperties = closed(schema.additionalProperties);
  }
  if (schema.items !== undefined) copy.items = closed(schema.items);
  return copy;
}
