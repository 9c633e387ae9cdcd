import convict from 'convict';
import type { Format } from './format.ts';

const formats = new Map<string, Format>();

/**
 * Makes a format known to convict and to `formatNamed`.
 *
 * @returns its name, for the `format` of a setting
 */
export function register(format: Format): string {
  if (!formats.has(format.name)) {
    formats.set(format.name, format);
    convict.addFormat({
      name: format.name,
      coerce: (value: unknown) => (typeof value === 'string' ? format.parse(value) : value),
      validate: (value: unknown) => {
        const [issue] = format.check(value);
        if (issue !== undefined) throw new Error(issue.message);
      },
    });
  }
  return format.name;
}

/** @throws RangeError for a name that was never registered (a mistake in the schema) */
export function formatNamed(name: string): Format {
  const format = formats.get(name);
  if (format === undefined) throw new RangeError(`no configuration format is called ${name}`);
  return format;
}
