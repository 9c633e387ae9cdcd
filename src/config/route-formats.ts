import { isIP } from 'node:net';
import { parse as parseYaml } from 'yaml';
import { type Format, type FormatIssue, listFormat } from './format.ts';
import { nearestName } from './nearest-name.ts';
import { domain, toDomain } from './network-formats.ts';
import { integer, oneOf } from './scalar-formats.ts';

/** The port of a route or smarthost that names none. */
const DEFAULT_PORT = 25;

export const tlsLevel: Format = oneOf('none', 'opportunistic', 'encrypt', 'verify');

const port: Format = integer(1, 65_535);

const hostList: Format = listFormat(
  {
    name: 'host',
    description: 'host name or IP address',
    parse: (text) => text,
    check: (value) =>
      typeof value === 'string' && (isIP(value) !== 0 || toDomain(value) !== undefined)
        ? []
        : [{ path: [], message: 'must be a host name or an IP address' }],
    normalize: (value) => (isIP(String(value)) === 0 ? (toDomain(String(value)) ?? value) : value),
  },
  { atLeast: 1 },
);

/** Domains that a row of settings holds for. */
export const routeDomains: Format = listFormat(
  {
    ...domain,
    name: 'route domain',
    description: '`example.com`, or `.example.com` for all its subdomains',
    check: (value) =>
      domain.check(typeof value === 'string' && value.startsWith('.') ? value.slice(1) : value),
    normalize: (value) => {
      const written = String(value);
      return written.startsWith('.') ? `.${toDomain(written.slice(1))}` : toDomain(written);
    },
  },
  { atLeast: 1 },
);

const nonEmptyText: Format = {
  name: 'text that is not empty',
  description: 'text',
  parse: (text) => text,
  check: (value) =>
    typeof value === 'string' && value !== '' && !/[\0\r\n]/.test(value)
      ? []
      : [{ path: [], message: 'must be text in one line' }],
  normalize: (value) => value,
};

const credentials: Format = recordFormat('credentials', {
  user: { format: nonEmptyText, required: true },
  passwordFile: { format: nonEmptyText, required: true },
});

const hop = {
  hosts: { format: hostList, required: true },
  port: { format: port, required: false },
  tls: { format: tlsLevel, required: false },
  credentials: { format: credentials, required: false },
};

const smarthostRecord: Format = withDefaultPort(recordFormat('smarthost', hop));

/** `null`, or one hop for all mail. In text it is written as YAML or JSON. */
export const smarthost: Format = {
  ...smarthostRecord,
  name: 'smarthost or null',
  description: 'null, or `{hosts, port, tls, credentials: {user, passwordFile}}`',
  parse: parseInline,
  check: (value) => (value === null ? [] : smarthostRecord.check(value)),
  normalize: (value) => (value === null ? null : smarthostRecord.normalize(value)),
};

/** List of hops for recipient domains. In text it is written as YAML or JSON. */
export const routes: Format = {
  ...listFormat(
    withDefaultPort(
      recordFormat('route', { domains: { format: routeDomains, required: true }, ...hop }),
    ),
  ),
  name: 'routes',
  description: 'list of `{domains, hosts, port, tls, credentials: {user, passwordFile}}`',
  parse: parseInline,
};

/** Keys that reach for the prototype of an object: their text is no value. */
const FORBIDDEN_KEY = /\b(?:__proto__|constructor|prototype)["']?\s*:/;

/** YAML or JSON, in a text. */
export function parseInline(written: string): unknown {
  if (FORBIDDEN_KEY.test(written)) return written;
  try {
    return parseYaml(written, { maxAliasCount: 0 });
  } catch {
    return written;
  }
}

export interface Field {
  readonly format: Format;
  readonly required: boolean;
}

/** A record of known keys. Messages never show its values: they may be secrets in a wrong place. */
export function recordFormat(name: string, fields: Readonly<Record<string, Field>>): Format {
  const known = Object.keys(fields);
  return {
    name,
    description: `{${known.join(', ')}}`,
    parse: parseInline,
    check: (value) => {
      if (!isRecord(value)) {
        return [{ path: [], message: `must be a record with ${known.join(', ')}` }];
      }
      const unknown = Object.keys(value)
        .filter((key) => !known.includes(key))
        .map((key) => ({ path: [key], message: unknownKeyMessage(name, key, known) }));
      return [...unknown, ...known.flatMap((key) => checkField(key, fields, value))];
    },
    normalize: (value) =>
      isRecord(value)
        ? Object.fromEntries(
            Object.entries(value)
              .filter(([, item]) => item !== null)
              .map(([key, item]) => [
                key,
                fields[key]?.format.normalize(fieldValue(item, key, fields)),
              ]),
          )
        : value,
  };
}

function checkField(
  key: string,
  fields: Readonly<Record<string, Field>>,
  record: Readonly<Record<string, unknown>>,
): readonly FormatIssue[] {
  const field = fields[key];
  const value = record[key] ?? undefined;
  if (field === undefined) return [];
  if (value === undefined) {
    return field.required ? [{ path: [], message: `${key} is missing` }] : [];
  }
  return field.format
    .check(fieldValue(value, key, fields))
    .map((issue) => ({ ...issue, path: [key, ...issue.path] }));
}

function fieldValue(value: unknown, key: string, fields: Readonly<Record<string, Field>>): unknown {
  return typeof value === 'string' ? fields[key]?.format.parse(value) : value;
}

function unknownKeyMessage(name: string, key: string, known: readonly string[]): string {
  if (name === 'credentials' && /pass/i.test(key)) {
    return 'a password may not stand in the configuration: put it into a file and name it in passwordFile';
  }
  const nearest = nearestName(key, known);
  return nearest === undefined
    ? `unknown key; known are ${known.join(', ')}`
    : `unknown key; did you mean "${nearest}"?`;
}

function withDefaultPort(record: Format): Format {
  return {
    ...record,
    normalize: (value) => {
      const normal = record.normalize(value);
      return isRecord(normal) ? { port: DEFAULT_PORT, ...normal } : normal;
    },
  };
}

/** True for a plain object: no array, no null. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
