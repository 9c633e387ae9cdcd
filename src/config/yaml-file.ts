import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  visit,
} from 'yaml';
import type { ConfigProblem } from './config-error.ts';
import { nearestName } from './nearest-name.ts';

/** Most octets of a configuration file. */
export const MAX_FILE_BYTES = 1024 * 1024;

/** After so many syntax errors the rest is likely to be noise. */
const MAX_SYNTAX_PROBLEMS = 10;

/** Names that change what an object is; no file may use them as keys. */
const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

type ParsedDocument = ReturnType<typeof parseDocument>;

/** What a configuration file says. */
export interface FileSettings {
  /** Values as written, by key of the setting. Keys without a value are left out. */
  readonly values: ReadonlyMap<string, unknown>;
  readonly problems: readonly ConfigProblem[];
  /** The line where a path stands, or the nearest thing around it; 1 for the whole file. */
  lineOf(path: readonly (string | number)[]): number;
}

/**
 * Reads a YAML file of nested sections. Syntax errors, duplicate keys, aliases and unknown keys are
 * problems with their line; nothing is thrown for them.
 *
 * @param fileName for messages
 * @param text the file
 * @param known keys of all settings, e.g. `limits.sessions`
 */
export function readYaml(fileName: string, text: string, known: readonly string[]): FileSettings {
  const lines = new LineCounter();
  const document = parse(text, lines);
  if (document === undefined) {
    const message = 'is nested too deeply';
    return {
      values: new Map(),
      problems: [{ key: '', where: fileName, message }],
      lineOf: () => 1,
    };
  }
  const lineAt = (offset: number | undefined): number => lines.linePos(offset ?? 0).line;
  const problems = syntaxProblems(document, (offset) => `${fileName}:${lineAt(offset)}`);
  const values = new Map<string, unknown>();
  if (problems.length === 0) {
    const walk = {
      document,
      known,
      values,
      problems,
      where: (offset?: number) => `${fileName}:${lineAt(offset)}`,
    };
    readSection(document.contents, [], walk);
  }
  return { values, problems, lineOf: (path) => lineAt(offsetOf(document, path)) };
}

function parse(text: string, lineCounter: LineCounter): ParsedDocument | undefined {
  try {
    return parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function syntaxProblems(
  document: ParsedDocument,
  where: (offset: number) => string,
): ConfigProblem[] {
  const errors = [...document.errors, ...document.warnings].slice(0, MAX_SYNTAX_PROBLEMS);
  const problems = errors.map((error) => ({
    key: '',
    where: where(error.pos[0]),
    message: syntaxMessage(error.code, error.message),
  }));
  visit(document, {
    Pair: (_, { key }) => {
      if (!isScalar(key) || !FORBIDDEN_KEYS.has(String(key.value))) return;
      const message = 'this name is not allowed as a key';
      problems.push({ key: String(key.value), where: where(key.range?.[0] ?? 0), message });
    },
    Alias: (_, node) => {
      const message = 'aliases (*name) are not supported: write the value out';
      problems.push({ key: '', where: where(node.range?.[0] ?? 0), message });
    },
  });
  return problems;
}

function syntaxMessage(code: string, message: string): string {
  if (code === 'DUPLICATE_KEY') return 'a key stands twice in its section';
  return code === 'RESOURCE_EXHAUSTION' || message.includes('call stack')
    ? 'the file is nested too deeply'
    : message;
}

interface Walk {
  readonly document: ParsedDocument;
  readonly known: readonly string[];
  readonly values: Map<string, unknown>;
  readonly problems: ConfigProblem[];
  readonly where: (offset?: number) => string;
}

function readSection(node: unknown, path: readonly string[], walk: Walk): void {
  if (node === null || (isScalar(node) && node.value === null)) return;
  if (!isMap(node)) {
    const offset = isScalar(node) || isSeq(node) ? node.range?.[0] : undefined;
    const what = path.length === 0 ? 'the file' : 'this';
    const message = `${what} must be a section of settings (name: value)`;
    walk.problems.push({ key: path.join('.'), where: walk.where(offset), message });
    return;
  }
  for (const pair of node.items) readPair(pair, path, walk);
}

function readPair(pair: Pair<unknown, unknown>, parent: readonly string[], walk: Walk): void {
  const name = isScalar(pair.key) ? String(pair.key.value) : '?';
  const where = walk.where(isScalar(pair.key) ? pair.key.range?.[0] : undefined);
  const path = [...parent, name];
  const key = path.join('.');
  if (walk.known.includes(key)) {
    const node = pair.value;
    const value = hasJsValue(node) ? node.toJS(walk.document) : null;
    if (value !== null) walk.values.set(key, value);
  } else if (walk.known.some((other) => other.startsWith(`${key}.`))) {
    readSection(pair.value, path, walk);
  } else {
    walk.problems.push({ key, where, message: unknownKeyMessage(path, walk.known) });
  }
}

function hasJsValue(node: unknown): node is { toJS(document: ParsedDocument): unknown } {
  return (isMap(node) || isSeq(node) || isScalar(node)) && !isAlias(node);
}

/** Says which known setting was probably meant: first a neighbour, then a namesake elsewhere. */
function unknownKeyMessage(path: readonly string[], known: readonly string[]): string {
  const name = path.at(-1) ?? '';
  const prefix = path
    .slice(0, -1)
    .map((part) => `${part}.`)
    .join('');
  const neighbours = new Set(
    known
      .filter((key) => key.startsWith(prefix))
      .map((key) => prefix + (key.slice(prefix.length).split('.')[0] ?? '')),
  );
  const namesakes = known.filter((key) => nearestName(name, [key.split('.').at(-1) ?? '']));
  const nearest =
    nearestName(path.join('.'), neighbours) ?? nearestName(prefix + name, known) ?? namesakes[0];
  return nearest === undefined ? 'unknown setting' : `unknown setting; did you mean "${nearest}"?`;
}

/** Offset of the key or list item at the end of a path, or of the last part that there is. */
function offsetOf(document: ParsedDocument, path: readonly (string | number)[]): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair: Pair<unknown, unknown> | undefined = node.items.find(
        (item) => isScalar(item.key) && item.key.value === part,
      );
      if (pair === undefined) return offset;
      if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      if (isScalar(node) || isMap(node) || isSeq(node)) offset = node.range?.[0] ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}
