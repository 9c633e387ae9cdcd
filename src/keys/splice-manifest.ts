/** Blanks before a domain's name, in manifests as we write them. */
const INDENT = '  ';

/**
 * Puts one domain into the text of a manifest, line by line: nothing else in it is touched. It knows
 * how our own manifests are laid out, and no YAML: whoever uses the result reads it first.
 *
 * @param entry the lines of the domain, name first, as if it stood alone
 * @returns undefined where the text is not laid out as our own are
 */
export function spliceDomain(
  text: string,
  generation: number,
  entry: readonly string[],
): string | undefined {
  const lines = text.split('\n');
  const number = lines.findIndex((line) => /^generation: \d+$/.test(line));
  const domains = lines.findIndex((line) => /^domains:(?: \{\})?$/.test(line));
  if (number < 0 || domains < 0) return undefined;
  lines[number] = `generation: ${generation}`;
  lines[domains] = 'domains:';
  const name = `${INDENT}${entry[0]}`;
  const known = lines.indexOf(name, domains);
  const start = known < 0 ? endOf(lines, domains, 0) : known;
  const end = known < 0 ? start : endOf(lines, known, INDENT.length);
  lines.splice(start, end - start, ...entry.map((line) => `${INDENT}${line}`));
  return lines.join('\n');
}

/** The line behind what stands below a line; comments and empty lines at its end are the next one's. */
function endOf(lines: readonly string[], start: number, indent: number): number {
  let end = start + 1;
  for (let at = end; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    if (/^ *(?:#|$)/.test(line)) continue;
    if (line.search(/[^ ]/) <= indent) break;
    end = at + 1;
  }
  return end;
}
