import { stringify } from 'yaml';
import { type SettingRow, settings } from './schema.ts';

const INTRODUCTION = `# Configuration

Waxseal reads one YAML file: the one named by \`--config FILE\`, else by the environment variable
\`WAXSEAL_CONFIG\`, else \`./config/waxseal.yaml\`, else \`/etc/waxseal/waxseal.yaml\`; without any of them
the defaults hold. Every setting can also be given as an environment variable, which overrides the
file; there, items of a list are separated by commas, and \`route\` and \`smarthost\` are written as JSON or
YAML. Unknown and duplicate keys are errors.

\`waxseal config check\` checks a configuration, \`waxseal config print\` shows the one in force and where
each value comes from. [\`config/default.yaml\`](../config/default.yaml) holds all of it, annotated.
Relative paths start at the working directory. Passwords never stand in the configuration: it names
the files that hold them.

This page is made by \`waxseal config docs\`.
`;

/** The reference of all settings, as Markdown. */
export function renderReference(): string {
  const sections = new Map<string, SettingRow[]>();
  for (const row of settings) {
    const section = row.key.split('.')[0] ?? '';
    sections.set(section, [...(sections.get(section) ?? []), row]);
  }
  const parts = [...sections].map(
    ([section, rows]) => `## ${section}\n\n${rows.map(renderRow).join('\n')}`,
  );
  return `${INTRODUCTION}\n${parts.join('\n')}`;
}

function renderRow(row: SettingRow): string {
  return [
    `### \`${row.key}\``,
    '',
    row.doc,
    '',
    `* Value: ${row.format.description}`,
    `* Default: \`${JSON.stringify(row.defaultValue)}\``,
    `* Environment: \`${row.env}\``,
    '',
  ].join('\n');
}

const COMMENT_WIDTH = 96;

/** A configuration file that sets everything to its default, with the documentation as comments. */
export function renderDefaultFile(): string {
  const lines = [
    '# Every setting with its default. Copy what you change; the rest may be left out.',
    '# Made by: waxseal config docs --yaml',
  ];
  let open: readonly string[] = [];
  for (const row of settings) {
    const path = row.key.split('.');
    const sections = path.slice(0, -1);
    if (path.length === 1 || sections[0] !== open[0]) lines.push('');
    sections.forEach((section, depth) => {
      if (open[depth] !== section || depth >= open.length)
        lines.push(`${'  '.repeat(depth)}${section}:`);
    });
    open = sections;
    const indent = '  '.repeat(sections.length);
    const comments = [row.doc, `Value: ${row.format.description}`]
      .map((comment) => comment.replaceAll('`', ''))
      .flatMap((comment) => wrap(comment, COMMENT_WIDTH - indent.length));
    lines.push(...comments.map((line) => `${indent}# ${line}`));
    const value = stringify({ [path.at(-1) ?? '']: row.defaultValue }, { lineWidth: 0 });
    lines.push(
      ...value
        .trimEnd()
        .split('\n')
        .map((line) => indent + line),
    );
  }
  return `${lines.join('\n')}\n`;
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
