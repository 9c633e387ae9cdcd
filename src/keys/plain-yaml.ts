/**
 * The YAML that `waxseal keys` writes, read without the YAML library: block mappings and lists, each
 * scalar on its line, comments on lines of their own. The library takes 0.4 ms for a domain, and a
 * keyring has ten thousand. Whatever is not plainly of this kind is left to the library, and so is
 * every complaint: two ways to read a text must never differ, so this one takes only what cannot be
 * read otherwise (a test compares them).
 */

/** Lines of a text, counted from 0: the first, and the one after the last. */
export interface LineSpan {
  readonly start: number;
  readonly end: number;
}

export interface PlainYaml {
  /** Mappings as `Map`, as the library gives them. */
  readonly root: ReadonlyMap<string, unknown>;
  readonly lines: readonly string[];
  /** Where the entries of the top mapping stand, comments above them not included. */
  readonly entries: ReadonlyMap<string, LineSpan>;
  /** Where the entries of those mappings stand. */
  readonly inner: ReadonlyMap<string, ReadonlyMap<string, LineSpan>>;
}

/** Deeper than any manifest. */
const MAX_DEPTH = 8;
const OTHER_CHARACTER = /[^\x20-\x7e\n]/;
const NO_CONTENT = /^ *(#|$)/;
const KEY = /^([A-Za-z0-9_][A-Za-z0-9_.-]*):(?: (?=\S)|$)/;
const PLAIN_TEXT = /^[A-Za-z0-9/+_][A-Za-z0-9/+=_.:,@() -]*$/;
const QUOTED_TEXT = /^"[^"\\]*"$/;
const COUNT = /^(?:0|[1-9][0-9]{0,14})$/;
/** What YAML's core schema may take for something else than a text, and more: chapter 10.3.2. */
const NO_TEXT = /^(?:null|true|false|[-+]?[0-9.]+(?:e[-+]?[0-9]+)?|0x[0-9a-f]+|0o[0-7]+)$/i;

/** @returns undefined: it is for the library to read, or to refuse */
export function parsePlainYaml(text: string): PlainYaml | undefined {
  if (OTHER_CHARACTER.test(text)) return undefined;
  const reader = new PlainReader(text.split('\n'));
  try {
    return reader.read();
  } catch (error) {
    if (error === NOT_PLAIN) return undefined;
    throw error;
  }
}

/** Thrown inside this file only. */
const NOT_PLAIN = new Error('not plain');

class PlainReader {
  readonly #lines: readonly string[];
  #at = 0;
  /** After the last line that had content. */
  #end = 0;

  constructor(lines: readonly string[]) {
    this.#lines = lines;
  }

  read(): PlainYaml {
    const entries = new Map<string, LineSpan>();
    const inner = new Map<string, ReadonlyMap<string, LineSpan>>();
    const root = this.#mapping(0, 1, entries, (name) => {
      const spans = new Map<string, LineSpan>();
      inner.set(name, spans);
      return spans;
    });
    if (this.#indent() >= 0) throw NOT_PLAIN;
    return { root, lines: this.#lines, entries, inner };
  }

  /**
   * @param spans filled in
   * @param spansOf for the mappings in it
   */
  #mapping(
    indent: number,
    depth: number,
    spans?: Map<string, LineSpan>,
    spansOf?: (name: string) => Map<string, LineSpan>,
    first?: string,
  ): Map<string, unknown> {
    if (depth > MAX_DEPTH) throw NOT_PLAIN;
    const mapping = new Map<string, unknown>();
    let content = first;
    while (content !== undefined || this.#indent() === indent) {
      const start = this.#at;
      const line = content ?? this.#line().slice(indent);
      content = undefined;
      const [, name] = KEY.exec(line) ?? [];
      if (name === undefined || NO_TEXT.test(name) || mapping.has(name)) throw NOT_PLAIN;
      this.#next();
      const rest = line.slice(name.length + 2);
      mapping.set(name, rest === '' ? this.#block(indent, depth, spansOf?.(name)) : scalarOf(rest));
      spans?.set(name, { start, end: this.#end });
    }
    // What is indented more than its neighbours belongs to something that was not seen.
    if (mapping.size === 0 || this.#indent() > indent) throw NOT_PLAIN;
    return mapping;
  }

  /** What stands below a name. */
  #block(above: number, depth: number, spans?: Map<string, LineSpan>): unknown {
    const indent = this.#indent();
    if (indent <= above) throw NOT_PLAIN;
    if (!this.#line().startsWith('- ', indent)) return this.#mapping(indent, depth + 1, spans);
    const list: unknown[] = [];
    while (this.#indent() === indent && this.#line().startsWith('- ', indent)) {
      const first = this.#line().slice(indent + 2);
      list.push(this.#mapping(indent + 2, depth + 2, undefined, undefined, first));
    }
    if (this.#indent() >= indent) throw NOT_PLAIN;
    return list;
  }

  /** Blanks before the next line with content, which is gone to; -1 at the end. */
  #indent(): number {
    while (this.#at < this.#lines.length && NO_CONTENT.test(this.#line())) this.#at += 1;
    return this.#at < this.#lines.length ? this.#line().search(/[^ ]/) : -1;
  }

  #line(): string {
    return this.#lines[this.#at] ?? '';
  }

  #next(): void {
    this.#at += 1;
    this.#end = this.#at;
  }
}

function scalarOf(text: string): unknown {
  if (text === '{}') return new Map();
  if (text === '[]') return [];
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (COUNT.test(text)) return Number(text);
  if (QUOTED_TEXT.test(text)) return text.slice(1, -1);
  const isText =
    PLAIN_TEXT.test(text) &&
    !NO_TEXT.test(text) &&
    !text.includes(': ') &&
    !text.endsWith(':') &&
    !text.endsWith(' ');
  if (!isText) throw NOT_PLAIN;
  return text;
}
