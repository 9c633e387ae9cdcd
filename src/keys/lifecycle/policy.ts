import { KeysRefusal } from '../keys-error.ts';

/** The times and habits of a domain's keys; all durations in milliseconds. */
export interface RotationPolicy {
  /** Age at which an active key is due for a successor. */
  readonly rotateAfterMs: number;
  /** From the successor's activation (and `maxStaleMs`) to the withdrawal of the old key. */
  readonly retireAfterMs: number;
  /** From the withdrawal to the end of record and private key. */
  readonly removeAfterMs: number;
  /** How long mail may wait in queues on its way. */
  readonly queueLifetimeMs: number;
  /** How long permissions for a new key may take to spread. */
  readonly authLagMs: number;
  /** How long a relay may sign without having confirmed the keyring. */
  readonly maxStaleMs: number;
  /** The next keys are kept verified, ready for an emergency. */
  readonly standby: boolean;
  readonly names: KeyNaming;
}

/** `dated`: each key gets a new selector; `slots`: three names for each family, used in turn. */
export type KeyNaming = 'dated' | 'slots';

export const DAY_MS = 86_400_000;

export const DEFAULT_POLICY: RotationPolicy = {
  rotateAfterMs: 180 * DAY_MS,
  retireAfterMs: 7 * DAY_MS,
  removeAfterMs: 30 * DAY_MS,
  queueLifetimeMs: 5 * DAY_MS,
  authLagMs: 300_000,
  maxStaleMs: DAY_MS,
  standby: false,
  names: 'dated',
};

/**
 * Why the old key of such a policy would vanish before the last mail that it signed was verified;
 * undefined when it would not.
 *
 * @param ttlS TTL of the key record in seconds
 */
export function retireFault(policy: RotationPolicy, ttlS: number): string | undefined {
  const leastMs = policy.queueLifetimeMs + ttlS * 1000;
  if (policy.retireAfterMs >= leastMs) return undefined;
  return (
    `retireAfter is ${daysText(policy.retireAfterMs)}, but mail may wait ${daysText(policy.queueLifetimeMs)} ` +
    `in queues and the record has a TTL of ${ttlS} seconds`
  );
}

/** @throws KeysRefusal `key-retire-too-short` */
export function refuseShortRetire(policy: RotationPolicy, ttlS: number): void {
  const fault = retireFault(policy, ttlS);
  if (fault === undefined) return;
  throw new KeysRefusal('key-retire-too-short', fault, { hint: RETIRE_HINT });
}

export const RETIRE_HINT =
  'raise keys.rotation.retireAfterDays to queueLifetimeDays and the TTL together, or more';

/** `7 days`, `3 hours`, `20 seconds`: the largest unit that fits, at most one decimal. */
export function daysText(ms: number): string {
  const units: readonly (readonly [number, string])[] = [
    [DAY_MS, 'day'],
    [3_600_000, 'hour'],
    [60_000, 'minute'],
    [1000, 'second'],
  ];
  const [unitMs, name] = units.find(([size]) => Math.abs(ms) >= size) ?? [1000, 'second'];
  const count = Math.round((ms / unitMs) * 10) / 10;
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}
