/**
 * Tag lists of DKIM (RFC 6376 section 3.2): `name=value` separated by semicolons, white space
 * around names, values and inside values allowed.
 */

/** A parsed list in its own order, or why it is none. */
export type TagList =
  | { readonly kind: 'tags'; readonly tags: ReadonlyMap<string, string> }
  | { readonly kind: 'malformed'; readonly reason: string };

const NAME = /^[A-Za-z][A-Za-z0-9_]*$/;
/** VALCHAR and the white space that may stand between: printable ASCII without the semicolon. */
const VALUE = /^[ \t\r\n!-:<-~]*$/;

/**
 * Parses a tag list. Duplicate names make the whole list malformed, as the RFC demands.
 *
 * @param text the joined strings of a TXT record
 */
export function parseTagList(text: string): TagList {
  const tags = new Map<string, string>();
  const specs = text.split(';');
  if (specs.length > 1 && trimFws(specs.at(-1) ?? '') === '') specs.pop();
  for (const spec of specs) {
    const equals = spec.indexOf('=');
    if (equals < 0) return malformed('a tag without "="');
    const name = trimFws(spec.slice(0, equals));
    const value = trimFws(spec.slice(equals + 1));
    if (!NAME.test(name)) return malformed('a tag name with characters that are not allowed');
    if (!VALUE.test(value)) return malformed(`characters that are not allowed in ${name}=`);
    if (tags.has(name)) return malformed(`${name}= stands twice`);
    tags.set(name, value);
  }
  return { kind: 'tags', tags };
}

function malformed(reason: string): TagList {
  return { kind: 'malformed', reason };
}

/** Without white space at both ends; only the blanks of RFC 5234 count, not those of Unicode. */
function trimFws(text: string): string {
  return text.replace(/^[ \t\r\n]+/, '').replace(/[ \t\r\n]+$/, '');
}
