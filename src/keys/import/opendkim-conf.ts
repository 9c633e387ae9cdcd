import path from 'node:path';
import type { TableKind } from './opendkim-table.ts';

/**
 * opendkim.conf(5), as far as it says which keys sign what. A line is a name and its value, `#`
 * begins a comment, names are read without regard to case, the last of two wins.
 */

/** The directives in lower case, with where each stands. */
export type OpenDkimConf = ReadonlyMap<string, { readonly value: string; readonly place: string }>;

export const MAX_CONF_BYTES = 1024 * 1024;

/** Parses one file; `Include` is the caller's to follow. */
export function parseOpenDkimConf(text: string, file: string): OpenDkimConf {
  const directives = new Map<string, { value: string; place: string }>();
  text.split('\n').forEach((whole, index) => {
    const content = (whole.split(/[#\r]/)[0] ?? '').replace(/^[ \t]+|[ \t]+$/g, '');
    const [, name, value] = /^([^ \t]+)[ \t]+(.+)$/.exec(content) ?? [];
    if (name === undefined || value === undefined) return;
    directives.set(name.toLowerCase(), { value, place: `${file}:${index + 1}` });
  });
  return directives;
}

/** A boolean as OpenDKIM reads it: by its first letter. */
export function isSet(conf: OpenDkimConf, name: string): boolean {
  return /^[ty1]/i.test(conf.get(name.toLowerCase())?.value ?? '');
}

/** What names a table or a list. */
export type DataSet =
  | { readonly kind: TableKind; readonly path: string }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  /** A database, LDAP, Lua: `type` says which. */
  | { readonly kind: 'unsupported'; readonly type: string };

/**
 * Reads the name of a data set (`dkimf_db_open`): `file:`, `refile:`, `csl:`, or without a type a
 * path (it begins with a slash) or a list.
 *
 * @param baseDirectory what relative paths are relative to
 */
export function parseDataSet(spec: string, baseDirectory: string): DataSet {
  const comma = spec.indexOf(',');
  const colon = spec.indexOf(':');
  const hasType = colon >= 0 && (comma < 0 || colon < comma);
  const type = hasType ? spec.slice(0, colon).toLowerCase() : spec.startsWith('/') ? 'file' : 'csl';
  const rest = hasType ? spec.slice(colon + 1) : spec;
  if (!hasType && spec.endsWith('.db')) return { kind: 'unsupported', type: 'db' };
  switch (type) {
    case 'file':
    case 'refile':
      return { kind: type, path: path.resolve(baseDirectory, rest) };
    case 'csl':
      return { kind: 'list', items: rest.split(',').map((item) => item.trim()) };
    default:
      return { kind: 'unsupported', type };
  }
}
