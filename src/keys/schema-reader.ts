import { printable } from '../base/printable.ts';
import { nearestName } from '../config/nearest-name.ts';

/** Where something stands inside a file: mapping keys and list indexes. */
export type SchemaPath = readonly (string | number)[];

export interface SchemaProblem {
  readonly path: SchemaPath;
  readonly message: string;
}

/** Problems after this many are not collected. */
const MAX_PROBLEMS = 20;

/**
 * Reads values out of a parsed YAML file and collects what is wrong, all of it and not only the
 * first. A method that finds a problem returns undefined. Values of fields that could hold a
 * mistakenly pasted private key are never quoted.
 */
export class SchemaReader {
  readonly problems: SchemaProblem[] = [];

  problem(path: SchemaPath, message: string): undefined {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push({ path, message });
    return undefined;
  }

  /** A mapping whose keys are all strings. */
  mapping(value: unknown, path: SchemaPath): ReadonlyMap<string, unknown> | undefined {
    if (!(value instanceof Map)) return this.problem(path, 'must be a mapping (name: value)');
    const result = new Map<string, unknown>();
    for (const [key, item] of value) {
      if (typeof key !== 'string') this.problem(path, 'has a key that is no text');
      else result.set(key, item);
    }
    return result;
  }

  /** A mapping with the given fields; unknown and missing ones are problems. */
  fields(
    value: unknown,
    path: SchemaPath,
    required: readonly string[],
    optional: readonly string[] = [],
  ): ReadonlyMap<string, unknown> | undefined {
    const mapping = this.mapping(value, path);
    if (mapping === undefined) return undefined;
    const known = [...required, ...optional];
    for (const name of mapping.keys()) {
      if (known.includes(name)) continue;
      const near = nearestName(name, known);
      const meant = near === undefined ? `known: ${known.join(', ')}` : `did you mean "${near}"?`;
      this.problem([...path, printable(name, 40)], `is not known here; ${meant}`);
    }
    for (const name of required) {
      if (!mapping.has(name)) this.problem(path, `lacks "${name}"`);
    }
    return mapping;
  }

  list(value: unknown, path: SchemaPath): readonly unknown[] | undefined {
    return Array.isArray(value) ? value : this.problem(path, 'must be a list');
  }

  boolean(value: unknown, path: SchemaPath): boolean | undefined {
    return typeof value === 'boolean' ? value : this.problem(path, 'must be true or false');
  }

  integer(value: unknown, path: SchemaPath, min: number, max: number): number | undefined {
    const fits = typeof value === 'number' && Number.isInteger(value) && value >= min;
    return fits && value <= max
      ? value
      : this.problem(path, `must be a whole number from ${min} to ${max}`);
  }

  /** One of a few names; a typo gets the nearest one as a hint. */
  name<Name extends string>(
    value: unknown,
    path: SchemaPath,
    known: readonly Name[],
  ): Name | undefined {
    const found = known.find((name) => name === value);
    if (found !== undefined) return found;
    const near = typeof value === 'string' ? nearestName(value, known) : undefined;
    const meant = near === undefined ? '' : `; did you mean "${near}"?`;
    return this.problem(path, `must be one of ${known.join(', ')}${meant}`);
  }

  /** A text that passes a check; `what` completes "must be". */
  text(
    value: unknown,
    path: SchemaPath,
    isRight: (text: string) => boolean,
    what: string,
  ): string | undefined {
    return typeof value === 'string' && isRight(value)
      ? value
      : this.problem(path, `must be ${what}`);
  }

  /** A point in time as `Date.toISOString` writes it; fractions of a second may be missing. */
  time(value: unknown, path: SchemaPath): string | undefined {
    const isTime = (text: string) =>
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/.test(text) &&
      Number.isFinite(Date.parse(text));
    return this.text(value, path, isTime, 'a time in UTC like 2026-11-21T09:00:00Z');
  }
}
