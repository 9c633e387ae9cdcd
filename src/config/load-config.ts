import { open } from 'node:fs/promises';
import convict from 'convict';
import { errorMessage, WaxsealError } from '../base/errors.ts';
import type { Config } from './config.ts';
import { ConfigError, type ConfigProblem } from './config-error.ts';
import { crossChecks } from './cross-checks.ts';
import { deriveDefaults, type SystemDefaults } from './derived-defaults.ts';
import type { FormatIssue } from './format.ts';
import { nearestName } from './nearest-name.ts';
import { type SettingRow, schema, settings } from './schema.ts';
import { type FileSettings, MAX_FILE_BYTES, readYaml } from './yaml-file.ts';

/** Where the configuration comes from. The environment overrides the file, the file the defaults. */
export interface ConfigSources {
  readonly file: { readonly name: string; readonly text: string } | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly system: SystemDefaults;
}

/** A setting as it is in force. */
export interface EffectiveSetting {
  readonly key: string;
  readonly value: unknown;
  /** `default`, `FILE:LINE` or the name of an environment variable. */
  readonly where: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** Settings that work and that the operator should look at. */
  readonly warnings: readonly ConfigProblem[];
  /** Every setting, in the order of the schema. */
  readonly settings: readonly EffectiveSetting[];
}

/**
 * Reads a configuration file and builds the configuration.
 *
 * @param path the YAML file; undefined: defaults and environment only
 * @throws ConfigError with all problems; WaxsealError `config-unreadable` when the file cannot be read
 */
export async function loadConfig(
  path: string | undefined,
  sources: Omit<ConfigSources, 'file'>,
): Promise<LoadedConfig> {
  const file = path === undefined ? undefined : { name: path, text: await readBounded(path) };
  return buildConfig({ ...sources, file });
}

/**
 * Builds the configuration; reads no file and no environment itself.
 *
 * @throws ConfigError with all problems
 */
export function buildConfig(sources: ConfigSources): LoadedConfig {
  const { environment } = sources;
  const keys = settings.map((row) => row.key);
  const file = sources.file && readYaml(sources.file.name, sources.file.text, keys);
  const whereOf = (row: SettingRow, path: FormatIssue['path'] = []): string => {
    if (environment[row.env] !== undefined) return row.env;
    if (!file?.values.has(row.key)) return 'default';
    return `${sources.file?.name}:${file.lineOf([...row.key.split('.'), ...path])}`;
  };

  const merged = merge(file, environment);
  const problems = [...(file?.problems ?? [])];
  const values = new Map<string, unknown>();
  for (const row of settings) {
    const value: unknown = merged.get(row.key);
    const issues = row.format.check(value);
    problems.push(
      ...issues.map((issue) => describeIssue(row, issue, value, whereOf(row, issue.path))),
    );
    if (issues.length === 0) values.set(row.key, row.format.normalize(value));
  }
  if (problems.length > 0) throw new ConfigError(problems);
  // Our own checks name the place of each problem; convict's has the last word.
  merged.validate({ allowed: 'strict' });

  deriveDefaults(values, sources.system);
  const config = nest(values) as unknown as Config;
  const warnings = judgeTogether(config, (row) => whereOf(row));
  return {
    config,
    warnings: [...warnings, ...strayVariables(environment)],
    settings: settings.map((row) => ({
      key: row.key,
      value: values.get(row.key),
      where: whereOf(row),
    })),
  };
}

/** The layers as one. Values are set one by one: convict's own `load` stumbles over free records. */
function merge(file: FileSettings | undefined, environment: ConfigSources['environment']) {
  const env: Record<string, string | undefined> = { ...environment };
  const merged: convict.Config<unknown> = convict<unknown>(schema as convict.Schema<unknown>, {
    env,
    args: [],
  });
  for (const [key, value] of file?.values ?? []) merged.set(key, value);
  merged.load({}); // the environment once more, since it overrides the file
  return merged as {
    get(key: string): unknown;
    validate(options: convict.ValidateOptions): unknown;
  };
}

function describeIssue(
  row: SettingRow,
  issue: FormatIssue,
  value: unknown,
  where: string,
): ConfigProblem {
  const inner = issue.path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`));
  // Only plain values are shown: a record may hold a secret in a wrong place.
  const isShown = issue.path.length === 0 && ['string', 'number', 'boolean'].includes(typeof value);
  const shown = isShown && !/^(route|smarthost)$/.test(row.key) ? `, and not ${brief(value)}` : '';
  return { key: row.key + inner.join(''), where, message: issue.message + shown };
}

function brief(value: unknown): string {
  // A URL with a password is refused; it is not repeated either.
  const text = JSON.stringify(value).replace(/\/\/[^/\s]*@/g, '//(redacted)@');
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function nest(values: ReadonlyMap<string, unknown>): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const [key, value] of values) {
    const path = key.split('.');
    const last = path.pop() ?? '';
    let section = root;
    for (const part of path) {
      section[part] ??= {};
      section = section[part] as Record<string, unknown>;
    }
    section[last] = value;
  }
  return root;
}

/** @returns the warnings. @throws ConfigError for errors */
function judgeTogether(
  config: Config,
  whereOf: (row: SettingRow) => string,
): readonly ConfigProblem[] {
  const findings = crossChecks
    .flatMap((check) => check(config))
    .map(({ severity, key, message }) => {
      const row = settings.find(
        (other) =>
          key === other.key || key.startsWith(`${other.key}[`) || key.startsWith(`${other.key}.`),
      );
      return { severity, problem: { key, message, where: row === undefined ? '' : whereOf(row) } };
    });
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new ConfigError(errors.map(({ problem }) => problem));
  return findings.map(({ problem }) => problem);
}

/** Variables that look like a misspelt setting. Others may be anybody's (Kubernetes adds some). */
function strayVariables(environment: ConfigSources['environment']): readonly ConfigProblem[] {
  const known = settings.map((row) => row.env);
  return Object.keys(environment)
    .filter((name) => name.startsWith('WAXSEAL_') && !known.includes(name))
    .flatMap((name) => {
      const rest = name.slice('WAXSEAL_'.length);
      const nearest = nearestName(
        rest,
        known.map((other) => other.slice('WAXSEAL_'.length)),
      );
      return nearest === undefined || rest === 'CONFIG'
        ? []
        : [{ key: '', where: name, message: `is no setting; did you mean WAXSEAL_${nearest}?` }];
    });
}

async function readBounded(path: string): Promise<string> {
  const fail = (message: string, cause?: unknown): WaxsealError =>
    new WaxsealError('config-unreadable', `The configuration file ${path} ${message}`, {
      cause,
      hint: 'Name another one with --config FILE or WAXSEAL_CONFIG',
    });
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw fail(`cannot be opened: ${errorMessage(error)}`, error);
  });
  try {
    const buffer = Buffer.alloc(MAX_FILE_BYTES + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
      length += bytesRead;
      if (bytesRead === 0 || length > MAX_FILE_BYTES) break;
    }
    if (length > MAX_FILE_BYTES) throw fail(`is over ${MAX_FILE_BYTES} octets`);
    return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length));
  } catch (error) {
    if (error instanceof WaxsealError) throw error;
    throw fail(
      error instanceof TypeError ? 'is not UTF-8 text' : `cannot be read: ${errorMessage(error)}`,
      error,
    );
  } finally {
    await handle.close();
  }
}
