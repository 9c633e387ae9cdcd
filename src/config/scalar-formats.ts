import { type Format, scalarFormat } from './format.ts';

/** Any text, perhaps empty. */
export const text: Format = scalarFormat({
  name: 'text',
  description: 'text',
  check: (value) => (typeof value === 'string' ? undefined : 'must be text'),
});

/** URL of a service, or empty. It holds no password: configurations are shown, and so are messages. */
export const serviceUrl: Format = scalarFormat({
  name: 'URL or empty',
  description: '`https://host[:port]`, or empty',
  check: (value) => {
    if (value === '') return undefined;
    return checkServiceUrl(value, 'must be a URL that begins with https:// or http://');
  },
});

/**
 * What is wrong with the URL of a service; undefined: nothing.
 *
 * @param complaint when it is no URL of HTTP
 */
export function checkServiceUrl(value: unknown, complaint: string): string | undefined {
  const parsed = typeof value === 'string' ? URL.parse(value) : null;
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) return complaint;
  const hasMore = parsed.username !== '' || parsed.password !== '' || parsed.search !== '';
  return hasMore ? 'must be a URL without user, password or query' : undefined;
}

/** Path of a file that is read; empty where the setting is off. */
export const file: Format = scalarFormat({
  name: 'file',
  description: 'path of a file (relative to the working directory), or empty',
  check: checkPath,
});

/** Path of a directory. */
export const directory: Format = scalarFormat({
  name: 'directory',
  description: 'path of a directory (relative to the working directory)',
  check: checkPath,
});

function checkPath(value: unknown): string | undefined {
  if (typeof value !== 'string') return 'must be a path';
  return value.includes('\0') ? 'must be a path without NUL' : undefined;
}

const SWITCH_WORDS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['yes', true],
  ['on', true],
  ['false', false],
  ['no', false],
  ['off', false],
]);

/** True or false. (convict's own takes every word but `false` for true.) */
export const onOff: Format = scalarFormat({
  name: 'switch',
  description: '`true` or `false`',
  parse: (word) => SWITCH_WORDS.get(word.toLowerCase()) ?? word,
  check: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
});

/** One of some words. */
export function oneOf(...words: readonly string[]): Format {
  const description = words.map((word) => `\`${word}\``).join(', ');
  return scalarFormat({
    name: `one of ${words.join('|')}`,
    description,
    check: (value) =>
      typeof value === 'string' && words.includes(value)
        ? undefined
        : `must be one of ${words.join(', ')}`,
  });
}

/** A whole number within bounds, both included. */
export function integer(least: number, most: number): Format {
  return numberWithUnits('integer', '', least, most, {});
}

/** Milliseconds; `30s`, `5m`, `1h` may be written too. */
export function milliseconds(least: number, most: number): Format {
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  return numberWithUnits('milliseconds', ' (or with a unit: `30s`, `5m`)', least, most, units);
}

/** Seconds; `5m`, `1h`, `7d` may be written too. */
export function seconds(least: number, most: number): Format {
  const units = { s: 1, m: 60, h: 3600, d: 86_400 };
  return numberWithUnits('seconds', ' (or with a unit: `1h`, `7d`)', least, most, units);
}

/** Octets; `64KiB`, `50MiB`, `4GiB` may be written too. */
export function octets(least: number, most: number): Format {
  const units = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
  return numberWithUnits('octets', ' (or with a unit: `50MiB`)', least, most, units);
}

function numberWithUnits(
  what: string,
  also: string,
  least: number,
  most: number,
  units: Readonly<Record<string, number>>,
): Format {
  const range = `${least} to ${most}`;
  return scalarFormat({
    name: `${what} ${range}`,
    description: `${what}, ${range}${also}`,
    parse: (written) => {
      const match = /^(\d{1,15})\s*([A-Za-z]*)$/.exec(written);
      const unit = match?.[2] ?? '';
      const factor = unit === '' ? 1 : Object.hasOwn(units, unit) ? units[unit] : undefined;
      return match === null || factor === undefined ? written : Number(match[1]) * factor;
    },
    check: (value) => {
      if (typeof value !== 'number' || !Number.isInteger(value)) {
        return `must be a whole number of ${what === 'integer' ? range : `${what}, ${range}`}`;
      }
      return value < least || value > most ? `must be from ${range}` : undefined;
    },
  });
}
