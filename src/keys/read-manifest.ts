import { BACKEND_NAMES, type BackendName } from './backend-names.ts';
import { type KeyAlgorithm, keyAlgorithmNamed, keyAlgorithmOf } from './key-algorithm.ts';
import { fitsInDns, isSelector, isSigningDomain, toSigningDomain } from './key-name.ts';
import { isBase64 } from './key-record.ts';
import { KEY_STATE_ROWS, KEY_STATES } from './key-state.ts';
import {
  type DomainLease,
  type KeyMaterial,
  MANIFEST_VERSION,
  MAX_TTL_S,
  type Manifest,
  type ManifestDomain,
  type ManifestKey,
  MIN_TTL_S,
} from './manifest.ts';
import { isPlainPublicKey } from './plain-public-key.ts';
import type { SchemaPath, SchemaReader } from './schema-reader.ts';

const KEY_FIELDS = [
  'selector',
  'algorithm',
  'backend',
  'state',
  'publicKey',
  'ttlS',
  'createdAt',
] as const;
const OPTIONAL_TIMES = [
  'activatedAt',
  'retiringSince',
  'stoodInAt',
  'publishedAt',
  'verifiedAt',
  'settledAt',
  'revokedAt',
  'destroyedAt',
] as const;
const OPTIONAL_KEY_FIELDS = [...OPTIONAL_TIMES, 'publisher', 'intent', 'material'] as const;

/** A wrapped RSA-4096 key takes about 3,500 characters as base64. */
const MAX_MATERIAL_CHARACTERS = 8192;
const MAX_NAME_CHARACTERS = 128;

/**
 * Turns a parsed YAML file into a manifest.
 *
 * @param root what the YAML parser gave, mappings as `Map`
 * @param reader collects what is wrong; the result holds only if it has no problems
 */
export function readManifest(root: unknown, reader: SchemaReader): Manifest {
  const fields = reader.fields(root, [], ['version', 'generation', 'domains']);
  const version = fields?.get('version');
  if (fields?.has('version') && version !== MANIFEST_VERSION) {
    reader.problem(['version'], `must be ${MANIFEST_VERSION}; other versions are not known`);
  }
  const generation = fields?.has('generation')
    ? reader.integer(fields.get('generation'), ['generation'], 1, Number.MAX_SAFE_INTEGER)
    : undefined;
  const mapping = fields?.has('domains')
    ? reader.mapping(fields.get('domains'), ['domains'])
    : undefined;
  const domains = [...(mapping ?? [])].map(([domain, value]) => readDomain(domain, value, reader));
  return {
    generation: generation ?? 1,
    domains: domains.filter((domain) => domain !== undefined),
  };
}

function readDomain(
  domain: string,
  value: unknown,
  reader: SchemaReader,
): ManifestDomain | undefined {
  const path: SchemaPath = ['domains', domain];
  if (!isSigningDomain(domain)) {
    const right = toSigningDomain(domain);
    const meant = right === undefined ? '' : `; write "${right}"`;
    return reader.problem(path, `is no domain name in lower case and A-labels${meant}`);
  }
  const fields = reader.fields(value, path, ['keys'], ['subdomains', 'lease', 'rotatingSince']);
  if (fields === undefined) return undefined;
  const subdomains = fields.has('subdomains')
    ? reader.boolean(fields.get('subdomains'), [...path, 'subdomains'])
    : false;
  const list = fields.has('keys') ? reader.list(fields.get('keys'), [...path, 'keys']) : undefined;
  const keys = (list ?? []).map((item, index) =>
    readKey(domain, item, [...path, 'keys', index], reader),
  );
  checkKeySet(keys, [...path, 'keys'], reader);
  const lease = fields.has('lease')
    ? readLease(fields.get('lease'), [...path, 'lease'], reader)
    : undefined;
  const rotatingSince = fields.has('rotatingSince')
    ? reader.time(fields.get('rotatingSince'), [...path, 'rotatingSince'])
    : undefined;
  return {
    domain,
    subdomains: subdomains ?? false,
    keys: keys.filter((key) => key !== undefined),
    ...(rotatingSince === undefined ? {} : { rotatingSince }),
    ...(lease === undefined ? {} : { lease }),
  };
}

function readKey(
  domain: string,
  value: unknown,
  path: SchemaPath,
  reader: SchemaReader,
): ManifestKey | undefined {
  const fields = reader.fields(value, path, KEY_FIELDS, OPTIONAL_KEY_FIELDS);
  if (fields === undefined || KEY_FIELDS.some((name) => !fields.has(name))) return undefined;
  const at = (name: string): [unknown, SchemaPath] => [fields.get(name), [...path, name]];
  const optionalTime = (name: (typeof OPTIONAL_TIMES)[number]) =>
    fields.has(name) ? reader.time(...at(name)) : undefined;
  const selector = reader.text(
    ...at('selector'),
    (text) => isSelector(text) && fitsInDns(text, domain),
    'a selector: letters in lower case, digits and hyphens, short enough for DNS',
  );
  const algorithm = readAlgorithm(...at('algorithm'), reader);
  const publicKey = readPublicKey(...at('publicKey'), algorithm, reader);
  const backend = reader.name<BackendName>(...at('backend'), BACKEND_NAMES);
  const state = reader.name(...at('state'), KEY_STATES);
  const ttlS = reader.integer(...at('ttlS'), MIN_TTL_S, MAX_TTL_S);
  const createdAt = reader.time(...at('createdAt'));
  const times = {
    activatedAt: optionalTime('activatedAt'),
    retiringSince: optionalTime('retiringSince'),
    stoodInAt: optionalTime('stoodInAt'),
    publishedAt: optionalTime('publishedAt'),
    verifiedAt: optionalTime('verifiedAt'),
    settledAt: optionalTime('settledAt'),
    revokedAt: optionalTime('revokedAt'),
    destroyedAt: optionalTime('destroyedAt'),
  };
  const optionalName = (name: 'publisher' | 'intent') =>
    fields.has(name)
      ? reader.text(...at(name), (text) => isName(text), 'a short name of letters, digits and -._')
      : undefined;
  const publisher = optionalName('publisher');
  const intent = optionalName('intent');
  const material = fields.has('material') ? readMaterial(...at('material'), reader) : undefined;
  if (selector === undefined || algorithm === undefined || publicKey === undefined) {
    return undefined;
  }
  if (backend === undefined || state === undefined || ttlS === undefined) return undefined;
  if (createdAt === undefined) return undefined;
  return {
    selector,
    algorithm: algorithm.name,
    backend,
    state,
    publicKey,
    ttlS,
    createdAt,
    ...times,
    ...(publisher === undefined ? {} : { publisher }),
    ...(intent === undefined ? {} : { intent }),
    ...(material === undefined ? {} : { material }),
  };
}

function isName(text: string): boolean {
  return text.length <= MAX_NAME_CHARACTERS && /^[A-Za-z0-9._-]+$/.test(text);
}

/** Names and texts; what they mean is the back end's to check. Values are never quoted. */
function readMaterial(
  value: unknown,
  path: SchemaPath,
  reader: SchemaReader,
): KeyMaterial | undefined {
  const mapping = reader.mapping(value, path);
  if (mapping === undefined) return undefined;
  const material: [string, string][] = [];
  for (const [name, item] of mapping) {
    const isText = (text: string) => text !== '' && text.length <= MAX_MATERIAL_CHARACTERS;
    const text = reader.text(item, [...path, name], isText, 'a text of at most 8192 characters');
    if (text !== undefined) material.push([name, text]);
  }
  return Object.fromEntries(material);
}

function readLease(
  value: unknown,
  path: SchemaPath,
  reader: SchemaReader,
): DomainLease | undefined {
  const fields = reader.fields(value, path, ['holder', 'fence', 'until']);
  if (fields === undefined) return undefined;
  const isHolder = (text: string) => text !== '' && text.length <= MAX_NAME_CHARACTERS;
  const holder = reader.text(fields.get('holder'), [...path, 'holder'], isHolder, 'a name');
  const fence = reader.integer(fields.get('fence'), [...path, 'fence'], 1, Number.MAX_SAFE_INTEGER);
  const until = reader.time(fields.get('until'), [...path, 'until']);
  if (holder === undefined || fence === undefined || until === undefined) return undefined;
  return { holder, fence, until };
}

function readAlgorithm(
  value: unknown,
  path: SchemaPath,
  reader: SchemaReader,
): KeyAlgorithm | undefined {
  const row = typeof value === 'string' ? keyAlgorithmNamed(value) : undefined;
  return (
    row ?? reader.problem(path, 'must be rsa2048, rsa3072, rsa4096, ed25519 (or an imported rsaN)')
  );
}

/** The value of `p=`; the key in it must be of the algorithm that the entry names. */
function readPublicKey(
  value: unknown,
  path: SchemaPath,
  algorithm: KeyAlgorithm | undefined,
  reader: SchemaReader,
): string | undefined {
  const text = reader.text(value, path, (given) => given !== '' && isBase64(given), 'base64');
  if (text === undefined || algorithm === undefined) return undefined;
  const octets = Buffer.from(text, 'base64');
  if (isPlainPublicKey(algorithm.name, octets)) return text;
  try {
    const found = keyAlgorithmOf(algorithm.publicKeyFrom(octets));
    if ('refusal' in found) return reader.problem(path, `holds ${found.refusal}`);
    if (found.name === algorithm.name) return text;
    return reader.problem(path, `holds a key of type ${found.name}, not ${algorithm.name}`);
  } catch {
    return reader.problem(path, `holds no public key of type ${algorithm.name}`);
  }
}

/** What holds between the keys of a domain; a problem names the later of two. */
function checkKeySet(
  keys: readonly (ManifestKey | undefined)[],
  path: SchemaPath,
  reader: SchemaReader,
): void {
  const selectors = new Set<string>();
  const activeFamilies = new Map<string, string>();
  keys.forEach((key, index) => {
    if (key === undefined) return;
    if (selectors.has(key.selector)) {
      reader.problem([...path, index, 'selector'], `"${key.selector}" stands twice in this domain`);
    }
    selectors.add(key.selector);
    const family = keyAlgorithmNamed(key.algorithm)?.family;
    if (family === undefined || !KEY_STATE_ROWS[key.state].signs) return;
    const other = activeFamilies.get(family);
    if (other !== undefined) {
      const message = `a second active ${family} key, beside "${other}"; only one may be active`;
      reader.problem([...path, index, 'state'], message);
    }
    activeFamilies.set(family, key.selector);
  });
}
