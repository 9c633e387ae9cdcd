/**
 * Tables of OpenDKIM (opendkim(8), "DATA SETS", and `dkimf_db_open` in its opendkim-db.c): one
 * entry on a line, a name and after white space its value, `#` begins a comment wherever it
 * stands. There is no continuation: a line that begins with white space is an entry like others
 * in a plain file, and is passed over in a `refile:`. It reads 1023 octets of a line at a time.
 */

/** How a table is read, and how names are found in it. */
export type TableKind = 'file' | 'refile';

export interface TableRow {
  /** Counted from 1. */
  readonly line: number;
  readonly name: string;
  /** Empty when there is none. */
  readonly value: string;
}

/** Something to tell about a line. Never holds its value, which may be a private key. */
export interface TableRemark {
  /** Path, and line where there is one: `/etc/opendkim/SigningTable:7`. */
  readonly place: string;
  readonly message: string;
  readonly hint?: string;
}

export interface ParsedTable {
  readonly path: string;
  readonly kind: TableKind;
  readonly rows: readonly TableRow[];
  readonly remarks: readonly TableRemark[];
}

/** Octets of a table that are read. */
export const MAX_TABLE_BYTES = 16 * 1024 * 1024;
/** What OpenDKIM reads at once (`BUFRSZ` less the NUL). */
const MAX_OPENDKIM_LINE = 1023;

/** Parses a table. Nothing is refused here; remarks say what OpenDKIM reads in another way. */
export function parseTable(text: string, path: string, kind: TableKind): ParsedTable {
  const rows: TableRow[] = [];
  const remarks: TableRemark[] = [];
  text.split('\n').forEach((whole, index) => {
    const line = index + 1;
    const place = `${path}:${line}`;
    const content = whole.split('#')[0] ?? '';
    if (content.trim() === '') return;
    if (kind === 'refile' && /^\s/.test(content)) {
      const message = 'OpenDKIM passes over a line of a refile that begins with white space';
      remarks.push({ place, message, hint: 'left out here too; mend the line if it is meant' });
      return;
    }
    const [, name = '', value = ''] = /^\s*(\S+)\s*(.*?)\s*$/.exec(content) ?? [];
    rows.push({ line, name, value });
    if (Buffer.byteLength(whole) > MAX_OPENDKIM_LINE) {
      const message = `OpenDKIM cuts a line after ${MAX_OPENDKIM_LINE} octets; it is read whole here`;
      remarks.push({ place, message });
    }
  });
  return { path, kind, rows, remarks };
}

/** All but `*`, `+` and `.` reaches OpenDKIM's regular expression as it stands (`dkimf_mkregexp`). */
const SIGNS_OF_EXPRESSIONS = /[\\^$|?()[\]{}]/;

/** False for a pattern of a `refile:` that is more than text and `*`; those are not followed. */
export function isWildcardPattern(pattern: string): boolean {
  return !SIGNS_OF_EXPRESSIONS.test(pattern);
}

/** True when `*` in the pattern can stand for something that makes it the text. Takes linear steps back. */
export function matchesWildcard(pattern: string, text: string): boolean {
  let at = 0;
  let patternAt = 0;
  let star = -1;
  let taken = 0;
  while (at < text.length) {
    if (pattern[patternAt] === '*') {
      star = patternAt;
      taken = at;
      patternAt += 1;
    } else if (pattern[patternAt] === text[at]) {
      at += 1;
      patternAt += 1;
    } else if (star >= 0) {
      taken += 1; // the last star takes one more
      at = taken;
      patternAt = star + 1;
    } else {
      return false;
    }
  }
  while (pattern[patternAt] === '*') patternAt += 1;
  return patternAt === pattern.length;
}
