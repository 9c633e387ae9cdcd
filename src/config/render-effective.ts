import { stringify } from 'yaml';
import type { EffectiveSetting } from './load-config.ts';
import { isRecord } from './route-formats.ts';

/**
 * The configuration in force as YAML, each setting with a comment that says where it comes from.
 * The text is itself a valid configuration file.
 */
export function renderEffective(settings: readonly EffectiveSetting[]): string {
  const lines: string[] = [];
  let open: readonly string[] = [];
  for (const { key, value, where } of settings) {
    const path = key.split('.');
    const sections = path.slice(0, -1);
    sections.forEach((section, depth) => {
      if (open[depth] !== section) lines.push(`${'  '.repeat(depth)}${section}:`);
    });
    open = sections;
    const name = path.at(-1) ?? '';
    const text = stringify({ [name]: redact(value) }, { lineWidth: 0 })
      .trimEnd()
      .split('\n');
    const [first = '', ...rest] = text;
    const indent = '  '.repeat(sections.length);
    lines.push(`${indent}${first} # ${where}`, ...rest.map((line) => indent + line));
  }
  return `${lines.join('\n')}\n`;
}

/** The same for programs: by key, the value and where it comes from. */
export function effectiveAsJson(
  settings: readonly EffectiveSetting[],
): Readonly<Record<string, { readonly value: unknown; readonly from: string }>> {
  return Object.fromEntries(
    settings.map(({ key, value, where }) => [key, { value: redact(value), from: where }]),
  );
}

/**
 * Replaces what looks like a secret. The formats let none into the configuration (it names files
 * instead), so this is the second lock on the door.
 */
export function redact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redact);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [key, isSecretName(key) ? '(redacted)' : redact(item)]),
  );
}

function isSecretName(key: string): boolean {
  return /pass|secret|token/i.test(key) && !/file$/i.test(key);
}
