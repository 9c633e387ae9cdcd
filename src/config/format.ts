/**
 * A format says how the value of a setting is written, checked and normalised. Formats are rows:
 * the schema names them, convict and the documentation look them up here.
 */
export interface Format {
  /** Unique; what the schema's `format` holds. */
  readonly name: string;
  /** For the reference: what may be written, e.g. `milliseconds, 1000 to 299999`. */
  readonly description: string;
  /** From text (an environment variable, or a quoted value); returns the text if it is no value. */
  readonly parse: (text: string) => unknown;
  /** Everything that is wrong with a value; empty when it is good. */
  readonly check: (value: unknown) => readonly FormatIssue[];
  /** A good value in its one true form (lower case, defaults of list items filled in). */
  readonly normalize: (value: unknown) => unknown;
}

/** Something wrong inside a value. */
export interface FormatIssue {
  /** Where inside the value: list indexes and keys. */
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** A format for a value without inner structure. */
export function scalarFormat(row: {
  readonly name: string;
  readonly description: string;
  readonly parse?: (text: string) => unknown;
  /** @returns what is wrong, or undefined */
  readonly check: (value: unknown) => string | undefined;
  readonly normalize?: (value: unknown) => unknown;
}): Format {
  return {
    name: row.name,
    description: row.description,
    parse: row.parse ?? ((text) => text),
    check: (value) => {
      const message = row.check(value);
      return message === undefined ? [] : [{ path: [], message }];
    },
    normalize: row.normalize ?? ((value) => value),
  };
}

/** A list whose items all have one format; in text, items are separated by commas. */
export function listFormat(item: Format, options: { readonly atLeast?: number } = {}): Format {
  const atLeast = options.atLeast ?? 0;
  return {
    name: `list of ${item.name}${atLeast > 0 ? `, at least ${atLeast}` : ''}`,
    description: `list of: ${item.description}${atLeast > 0 ? ` (at least ${atLeast})` : ''}`,
    parse: (text) =>
      text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '')
        .map((part) => item.parse(part)),
    check: (value) => {
      if (!Array.isArray(value)) return [{ path: [], message: 'must be a list' }];
      if (value.length < atLeast) {
        return [{ path: [], message: `must have at least ${atLeast} item` }];
      }
      return value.flatMap((entry, index) =>
        item.check(entry).map((issue) => ({ ...issue, path: [index, ...issue.path] })),
      );
    },
    normalize: (value) =>
      Array.isArray(value) ? value.map((entry) => item.normalize(entry)) : value,
  };
}
