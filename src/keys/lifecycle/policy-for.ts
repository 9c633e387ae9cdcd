import type { RotationHabits, RotationOverride, RotationSetting } from '../../config/config.ts';
import { DAY_MS, DEFAULT_POLICY, type RotationPolicy } from './policy.ts';

/**
 * Finds the policy of a domain: an exact name counts before the longest suffix, and what a row
 * does not say is as for all domains. The rows are indexed once, for many domains.
 *
 * @param settings `keys.rotation`; undefined: the defaults
 * @param maxStaleMs `keys.maxStaleMs`
 */
export function policyFinder(
  settings: Omit<RotationSetting, 'reveal'> | undefined,
  maxStaleMs = DEFAULT_POLICY.maxStaleMs,
): (domain: string) => RotationPolicy {
  if (settings === undefined) return () => ({ ...DEFAULT_POLICY, maxStaleMs });
  const rows = new Map<string, RotationOverride>();
  for (const row of settings.domains) {
    for (const name of row.domains) if (!rows.has(name)) rows.set(name, row);
  }
  return (domain) => policyOf({ ...settings, ...definedOf(rowFor(domain, rows)) }, maxStaleMs);
}

function rowFor(
  domain: string,
  rows: ReadonlyMap<string, RotationOverride>,
): RotationOverride | undefined {
  const exact = rows.get(domain);
  if (exact !== undefined) return exact;
  for (let dot = domain.indexOf('.'); dot >= 0; dot = domain.indexOf('.', dot + 1)) {
    const row = rows.get(domain.slice(dot));
    if (row !== undefined) return row;
  }
  return undefined;
}

function definedOf(row: RotationOverride | undefined): Partial<RotationHabits> {
  return Object.fromEntries(
    Object.entries(row ?? {}).filter(([name, value]) => value !== undefined && name !== 'domains'),
  );
}

function policyOf(habits: RotationHabits, maxStaleMs: number): RotationPolicy {
  return {
    rotateAfterMs: habits.rotateAfterDays * DAY_MS,
    retireAfterMs: habits.retireAfterDays * DAY_MS,
    removeAfterMs: habits.removeAfterDays * DAY_MS,
    queueLifetimeMs: habits.queueLifetimeDays * DAY_MS,
    authLagMs: habits.authLagMs,
    maxStaleMs,
    standby: habits.standby,
    names: habits.names,
  };
}
