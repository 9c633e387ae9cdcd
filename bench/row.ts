/** What a measurement gives, and how it stands to its target. */

export interface Check {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly limit: number;
  readonly kind: 'at-most' | 'at-least';
  readonly stretch?: number;
}

export interface Row {
  readonly group: string;
  readonly name: string;
  readonly figures: Readonly<Record<string, number>>;
  readonly checks: readonly Check[];
  readonly note?: string;
}

/** Whether the value meets its target. NaN meets none. */
export function passes(check: Check, limit: number = check.limit): boolean {
  return check.kind === 'at-most' ? check.value <= limit : check.value >= limit;
}

/** One line a row and one a check, for a person to read. */
export function formatRow(row: Row): string {
  const figures = Object.entries(row.figures)
    .map(([name, value]) => `${name} ${formatNumber(value)}`)
    .join('  ');
  const checks = row.checks.map((check) => `    ${formatCheck(check)}`);
  const note = row.note === undefined ? [] : [`    note: ${row.note}`];
  return [`${row.group} ${row.name}: ${figures}`, ...checks, ...note].join('\n');
}

function formatCheck(check: Check): string {
  const sign = check.kind === 'at-most' ? '≤' : '≥';
  const verdict = passes(check) ? 'pass' : 'MISS';
  const stretch =
    check.stretch === undefined
      ? ''
      : `; stretch ${sign} ${formatNumber(check.stretch)} ${passes(check, check.stretch) ? 'pass' : 'miss'}`;
  return `${verdict}  ${check.what}: ${formatNumber(check.value)} ${check.unit} (target ${sign} ${formatNumber(check.limit)}${stretch})`;
}

function formatNumber(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
