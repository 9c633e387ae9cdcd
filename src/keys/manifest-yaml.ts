import { isDeepStrictEqual } from 'node:util';
import {
  Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml';
import { errorMessage } from '../base/errors.ts';
import { printable } from '../base/printable.ts';
import { KeysError } from './keys-error.ts';
import { MANIFEST_VERSION, type Manifest, type ManifestDomain } from './manifest.ts';
import { loadQuickly } from './quick-yaml.ts';
import { readManifest } from './read-manifest.ts';
import { type SchemaPath, SchemaReader } from './schema-reader.ts';
import { spliceDomain } from './splice-manifest.ts';

/**
 * The largest manifest file in octets. A domain with two keys takes about 900; who has more than
 * some ten thousand domains uses several files.
 */
export const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;

const YAML_OPTIONS = {
  version: '1.2',
  schema: 'core',
  merge: false,
  stringKeys: true,
  uniqueKeys: false, // its check takes quadratic time; ours is below
  prettyErrors: false, // they quote the source, which might be a key pasted by mistake
} as const;
/** One line for each scalar, however long. */
const PRINT_OPTIONS = { lineWidth: 0 } as const;

/** A manifest with the YAML that it came from, so that a change keeps the operator's comments. */
export interface ManifestSource {
  readonly manifest: Manifest;
  readonly text: string;
}

/**
 * Parses a manifest strictly: YAML 1.2 core schema, no anchors and aliases, no duplicate or unknown
 * keys, every value checked.
 *
 * @param text content of the file
 * @param file its path, for messages
 * @throws KeysError `manifest-invalid`, with file, line, place and reason of up to 20 problems
 */
export function parseManifest(text: string, file: string): ManifestSource {
  return { manifest: parseQuickly(text) ?? parseThoroughly(text, file), text };
}

/** @returns undefined: whether it is wrong, and where, takes the other way to find out */
export function parseQuickly(text: string): Manifest | undefined {
  const root = loadQuickly(text);
  if (root === undefined) return undefined;
  const reader = new SchemaReader();
  const manifest = readManifest(root, reader);
  return reader.problems.length === 0 ? manifest : undefined;
}

/** Any YAML; and what is wrong with it, with its line. */
export function parseThoroughly(text: string, file: string): Manifest {
  const lines = new LineCounter();
  let document: Document;
  let root: unknown;
  try {
    document = parseDocument(text, { ...YAML_OPTIONS, lineCounter: lines });
    const fault = document.errors[0] ?? document.warnings[0];
    if (fault !== undefined) {
      const { line } = lines.linePos(fault.pos[0]);
      throw invalid(file, [`line ${line}: ${yamlFault(fault.code)}`]);
    }
    refuseTricks(document, file, lines);
    root = document.toJS({ mapAsMap: true });
  } catch (error) {
    if (error instanceof KeysError) throw error;
    // Nested too deep for the parser's stack, for one.
    throw invalid(file, [printable(errorMessage(error), 100)]);
  }
  const reader = new SchemaReader();
  const manifest = readManifest(root, reader);
  if (reader.problems.length > 0) {
    const problems = reader.problems.map(({ path, message }) => {
      const line = lineOf(document, path, lines);
      return `${line === undefined ? '' : `line ${line}: `}${pathText(path)} ${message}`;
    });
    throw invalid(file, problems);
  }
  return manifest;
}

/** An empty manifest file with the comment that explains it. */
export function newManifest(): ManifestSource {
  const manifest: Manifest = { generation: 1, domains: [] };
  const text = `# DKIM keyring of Waxseal; see keys/README.md. Changed by "waxseal keys"; private keys are apart.
version: ${MANIFEST_VERSION}
generation: 1
domains: {}
`;
  return { manifest, text };
}

/**
 * A manifest in which one domain is new or changed; the rest of its text stays as it stands.
 *
 * @param file its name, for messages
 * @throws KeysError `manifest-invalid` when the result could not be read back
 */
export function changeManifest(
  source: ManifestSource,
  generation: number,
  changed: ManifestDomain,
  file: string,
): ManifestSource {
  const quick = changeQuickly(source, generation, changed);
  return quick ?? parseManifest(changeTree(source, generation, changed), file);
}

/**
 * Puts new lines in place of old ones, and reads the whole again.
 *
 * @returns undefined where the text is laid out otherwise than we do it
 */
export function changeQuickly(
  { text, manifest: before }: ManifestSource,
  generation: number,
  changed: ManifestDomain,
): ManifestSource | undefined {
  const entry = linesOf(new Document({ [changed.domain]: plainDomain(changed) }));
  const spliced = spliceDomain(text, generation, entry);
  const manifest = spliced === undefined ? undefined : parseQuickly(spliced);
  if (spliced === undefined || manifest === undefined) return undefined;
  const domains = [...before.domains];
  const at = domains.findIndex(({ domain }) => domain === changed.domain);
  domains.splice(at < 0 ? domains.length : at, 1, asWritten(changed));
  const found = manifest.domains.map((domain) =>
    domain.domain === changed.domain ? asWritten(domain) : domain,
  );
  const isRight = manifest.generation === generation && isDeepStrictEqual(found, domains);
  return isRight ? { text: spliced, manifest } : undefined;
}

/** Without what is undefined, which is not written. */
function asWritten(domain: ManifestDomain): ManifestDomain {
  return JSON.parse(JSON.stringify(domain));
}

function linesOf(document: Document): readonly string[] {
  return document.toString(PRINT_OPTIONS).trimEnd().split('\n');
}

/** By the tree of the text, which keeps comments where they are. */
function changeTree(source: ManifestSource, generation: number, changed: ManifestDomain): string {
  const document = parseDocument(source.text, YAML_OPTIONS);
  document.set('generation', generation);
  const domains = document.get('domains', true);
  if (isNode(domains) && 'flow' in domains) domains.flow = false;
  document.setIn(['domains', changed.domain], document.createNode(plainDomain(changed)));
  return document.toString(PRINT_OPTIONS);
}

function plainDomain(domain: ManifestDomain): Record<string, unknown> {
  const keys = domain.keys.map((key) =>
    Object.fromEntries(Object.entries(key).filter(([, value]) => value !== undefined)),
  );
  return {
    subdomains: domain.subdomains,
    keys,
    ...(domain.rotatingSince === undefined ? {} : { rotatingSince: domain.rotatingSince }),
    ...(domain.lease === undefined ? {} : { lease: domain.lease }),
  };
}

/** What the parser would let through, or expand: anchors, aliases, the same key twice. */
function refuseTricks(document: Document, file: string, lines: LineCounter): void {
  const refuse = (node: Node, fault: string) => {
    const { line } = lines.linePos(node.range?.[0] ?? 0);
    throw invalid(file, [`line ${line}: ${yamlFault(fault)}`]);
  };
  visit(document, {
    Node: (_key, node) => {
      if (isAlias(node) || node.anchor !== undefined) refuse(node, 'BAD_ALIAS');
      if (!isMap(node)) return;
      const seen = new Set<unknown>();
      for (const { key } of node.items) {
        if (!isScalar(key)) continue; // the schema says what is wrong with it
        if (seen.has(key.value)) refuse(key, 'DUPLICATE_KEY');
        seen.add(key.value);
      }
    },
  });
}

/** The parser's code in words; its own messages may quote the file. */
function yamlFault(code: string): string {
  const words: Readonly<Record<string, string>> = {
    DUPLICATE_KEY: 'the same key stands twice',
    BAD_ALIAS: 'anchors and aliases (& and *) are not allowed',
    TAB_AS_INDENT: 'a tab is used for indentation',
    MULTIPLE_DOCS: 'there is a second document ("---")',
    BAD_INDENT: 'the indentation is wrong',
    NON_STRING_KEY: 'a key is no text',
    TAG_RESOLVE_FAILED: 'a tag ("!…") is not known',
  };
  return words[code] ?? `is no valid YAML (${code.toLowerCase().replaceAll('_', ' ')})`;
}

function lineOf(document: Document, path: SchemaPath, lines: LineCounter): number | undefined {
  for (let depth = path.length; depth >= 0; depth -= 1) {
    const node = document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return undefined;
}

/** `domains."example.com".keys[0].state` */
function pathText(path: SchemaPath): string {
  if (path.length === 0) return 'the file';
  return path
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`;
      const quoted = /^[A-Za-z]\w*$/.test(step) ? step : JSON.stringify(printable(step, 260));
      return index === 0 ? quoted : `.${quoted}`;
    })
    .join('');
}

function invalid(file: string, problems: readonly string[]): KeysError {
  const [first, ...others] = problems;
  const message =
    others.length === 0
      ? `${file}: ${first}`
      : `${file}:\n${problems.map((problem) => `  ${problem}`).join('\n')}`;
  return new KeysError('manifest-invalid', message, {
    hint: 'the format is described in keys/README.md',
  });
}
