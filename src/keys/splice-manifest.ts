import type { LineSpan, PlainYaml } from './plain-yaml.ts';

/** Blanks before a domain's name, and before what stands below it. */
const INDENT = 2;

/**
 * Puts one domain into the text of a manifest, line by line: nothing else in it is touched.
 *
 * @param entry the lines of the domain, name first, as if it stood alone
 * @returns undefined where the text is not laid out as our own are
 */
export function spliceDomain(
  plain: PlainYaml,
  generation: number,
  domain: string,
  entry: readonly string[],
): string | undefined {
  const number = plain.entries.get('generation');
  const domains = plain.entries.get('domains');
  if (number === undefined || domains === undefined) return undefined;
  const place = placeOf(plain, domains, domain);
  if (place === undefined) return undefined;
  const lines = [...plain.lines];
  const edits = [
    { ...number, lines: [`generation: ${generation}`] },
    { ...place, lines: entry.map((line) => `${' '.repeat(INDENT)}${line}`) },
  ];
  const isEmpty = lines[domains.start] !== 'domains:';
  if (isEmpty) edits.push({ start: domains.start, end: domains.start + 1, lines: ['domains:'] });
  // From the end, so that no edit moves the lines of another.
  for (const { start, end, lines: changed } of edits.sort((a, b) => b.start - a.start)) {
    lines.splice(start, end - start, ...changed);
  }
  return lines.join('\n');
}

/** Where the domain stands, or where it goes: behind the last one. */
function placeOf(plain: PlainYaml, domains: LineSpan, domain: string): LineSpan | undefined {
  const known = plain.inner.get('domains');
  const first = known?.values().next().value;
  if (first === undefined) return { start: domains.end, end: domains.end };
  const line = plain.lines[first.start] ?? '';
  if (line.search(/[^ ]/) !== INDENT) return undefined;
  return known?.get(domain) ?? { start: domains.end, end: domains.end };
}
