import { CORE_SCHEMA, load, realMapTag } from 'js-yaml';

/**
 * YAML without what makes it YAML: the library that knows comments and places takes five times as
 * long, and a keyring has ten thousand domains. A text that could mean something else to another
 * reader is left to that library, and so is every complaint (decision 042).
 */

const SCHEMA = CORE_SCHEMA.withTags(realMapTag);
/** Deeper than any manifest. */
const MAX_DEPTH = 10;
/** Anchors, tags, block texts, directives, escapes, tabs, and characters beyond ASCII. */
const UNUSUAL = /[^\x20-\x7e\n]|[&*!|>%@`'\\?~<]/;

/** @returns mappings as `Map`; undefined: it is for the other library to read, or to refuse */
export function loadQuickly(text: string): unknown {
  if (UNUSUAL.test(text)) return undefined;
  try {
    return load(text, { schema: SCHEMA, maxDepth: MAX_DEPTH, maxAliases: 0 });
  } catch {
    return undefined; // the other library says what is wrong, and in which line
  }
}
