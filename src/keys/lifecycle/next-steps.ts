import type { BackendName } from '../backend-names.ts';
import { onlyStoodIn } from '../fall-back.ts';
import { familyOf } from '../key-algorithm.ts';
import type { KeyState } from '../key-state.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { freshSteps } from './fresh-steps.ts';
import { activeKeys, timeOf } from './key-changes.ts';
import { RETIRE_HINT, type RotationPolicy, retireFault } from './policy.ts';
import type { RotationWish } from './rotation-wish.ts';
import type { StepResult } from './step-outcome.ts';

/**
 * What is to be done for a domain, by the states of its keys:
 *
 *     created --publish--> published --verify--> verified --activate--> active
 *     active --(successor's activation)--> retiring --revoke--> revoked --destroy--> destroyed
 *
 * and the ways back: `abort` of a key that was never active, `rollback` from retiring to active,
 * `cancel-destroy` where the back end can. `publish` and `verify` are taken for each key alone,
 * `activate` for the whole set of a rotation (one key of each family) or not at all. A revoked
 * key whose record is not seen withdrawn yet (no `revokedAt`) still has `withdraw` before it.
 *
 * A step is due, or waits for a time or for something outside, or needs an operator; or the keys
 * rest until they are old. Steps are
 * carried out by `run-step.ts`; this file only decides, and does no I/O.
 */

export const STEP_NAMES = [
  'create',
  'publish',
  'verify',
  'activate',
  'revoke',
  'withdraw',
  'destroy',
] as const;

export type StepName = (typeof STEP_NAMES)[number];

interface StepSubject {
  readonly step: StepName;
  /** The keys concerned; empty for `create`. */
  readonly selectors: readonly string[];
  /** For `create`: names of algorithm rows, one key each. */
  readonly algorithms?: readonly string[];
  /** For `create`: where the keys are made, if that is not where the active ones are. */
  readonly backend?: BackendName;
}

export type NextStep = StepSubject &
  (
    | { readonly kind: 'due' }
    /** `atMs`: milliseconds since the epoch; undefined: nobody knows. */
    | { readonly kind: 'waiting'; readonly atMs: number | undefined; readonly why: string }
    | { readonly kind: 'operator'; readonly why: string; readonly action: string }
    /** All is well until then. */
    | { readonly kind: 'resting'; readonly atMs: number; readonly why: string }
  );

/** What the entry itself does not say. */
export interface LifecycleFacts {
  readonly wish: RotationWish;
  /** Names of algorithm rows that were asked for; empty: as the active keys. */
  readonly algorithms: readonly string[];
  /**
   * By selector, what relays say of a key: relays that cannot use it yet, with the reason. Empty:
   * all can. No entry: none reports, or not all have tried it.
   */
  readonly relays: ReadonlyMap<string, readonly string[]>;
  /** Names of back ends whose keys can be used at once. */
  readonly usableAtOnce: ReadonlySet<string>;
  /** Keys of the back end that stands in for the active ones' are kept for that (`kms.fallback`). */
  readonly fallBacks: boolean;
  /** Ed25519 may be activated without RSA beside it. */
  readonly force: boolean;
}

/** Every step that lies before a domain's keys, each with when. Pure. */
export function nextSteps(
  entry: ManifestDomain,
  policy: RotationPolicy,
  nowMs: number,
  facts: LifecycleFacts,
): readonly NextStep[] {
  const tail = entry.keys.flatMap(
    (key) => TAIL_ROWS[key.state]?.(key, policy, nowMs, standInOf(entry, key, facts.relays)) ?? [],
  );
  return [...freshSteps(entry, policy, nowMs, facts), ...tail];
}

/**
 * When the old key may be withdrawn, in milliseconds since the epoch. A relay that signed with it
 * later, as far as the entry tells, may have done so for `maxStale` after it said so last.
 */
export function revokeDueMs(key: ManifestKey, policy: RotationPolicy): number | undefined {
  const sinceMs = timeOf(key.retiringSince);
  if (sinceMs === undefined) return undefined;
  const lastMs = Math.max(sinceMs, timeOf(key.stoodInAt) ?? 0);
  return lastMs + policy.maxStaleMs + policy.retireAfterMs;
}

/** Did a relay sign with it after its successor was activated, as far as the entry tells? */
function stoodIn({ retiringSince, stoodInAt }: ManifestKey): boolean {
  return (timeOf(stoodInAt) ?? 0) > (timeOf(retiringSince) ?? 0);
}

/**
 * What keeps the old key from being withdrawn now; undefined: nothing does.
 *
 * @param atMs as `revokeDueMs`
 * @param standIn as `standInOf`: that moves `atMs` on, so there is no telling until when
 */
export function revokeWait(
  key: ManifestKey,
  atMs: number,
  nowMs: number,
  standIn: string | undefined,
): Extract<StepResult, { kind: 'waiting' }> | undefined {
  const isUnderWay = nowMs < atMs;
  if (standIn !== undefined && (!isUnderWay || stoodIn(key))) {
    return { kind: 'waiting', atMs: undefined, why: standIn };
  }
  return isUnderWay ? { kind: 'waiting', atMs, why: underWayText(key) } : undefined;
}

function underWayText(key: ManifestKey): string {
  if (!stoodIn(key)) return 'mail signed with the old key is still under way';
  const { selector, stoodInAt } = key;
  const until = stoodInAt?.replace('T', ' ').replace(/\.\d+/, '');
  return `a relay signed with ${selector} until ${until}, since it could not use the new key; that mail is still under way`;
}

/**
 * Which relay signs with a retiring key, because it cannot use its successor; undefined: none says
 * so. Mail that it signs today is under way for days.
 *
 * @param relays as `LifecycleFacts.relays`
 */
export function standInOf(
  entry: ManifestDomain,
  key: ManifestKey,
  relays: LifecycleFacts['relays'],
): string | undefined {
  // What only stood in never signs for one that cannot be used.
  if (key.state !== 'retiring' || onlyStoodIn(key)) return undefined;
  const successors = activeKeys(entry).filter((other) => familyOf(other) === familyOf(key));
  const [complaint] = successors.flatMap(({ selector }) => relays.get(selector) ?? []);
  return complaint === undefined
    ? undefined
    : `a relay still signs with ${key.selector}, since it cannot use the new key: ${complaint}`;
}

/** When record and private key of a revoked key go, in milliseconds since the epoch. */
export function destroyDueMs(key: ManifestKey, policy: RotationPolicy): number | undefined {
  const sinceMs = timeOf(key.revokedAt);
  return sinceMs === undefined ? undefined : sinceMs + policy.removeAfterMs;
}

type TailRow = (
  key: ManifestKey,
  policy: RotationPolicy,
  nowMs: number,
  standIn: string | undefined,
) => readonly NextStep[];

/** What lies before keys that have been active. */
const TAIL_ROWS: Readonly<Partial<Record<KeyState, TailRow>>> = {
  retiring: (key, policy, nowMs, standIn) => {
    const subject = { step: 'revoke', selectors: [key.selector] } as const;
    const fault = retireFault(policy, key.ttlS);
    if (fault !== undefined) {
      return [{ ...subject, kind: 'operator', why: fault, action: RETIRE_HINT }];
    }
    const atMs = revokeDueMs(key, policy);
    if (atMs === undefined) return [unknownTime(subject, key, 'retiringSince')];
    const wait = revokeWait(key, atMs, nowMs, standIn);
    return [wait === undefined ? { ...subject, kind: 'due' } : { ...subject, ...wait }];
  },
  revoked: (key, policy, nowMs) => {
    const atMs = destroyDueMs(key, policy);
    if (atMs === undefined) return [{ step: 'withdraw', selectors: [key.selector], kind: 'due' }];
    const subject = { step: 'destroy', selectors: [key.selector] } as const;
    const why = 'receivers may still look the withdrawn key up';
    return [
      nowMs >= atMs ? { ...subject, kind: 'due' } : { ...subject, kind: 'waiting', atMs, why },
    ];
  },
};

function unknownTime(
  subject: { readonly step: StepName; readonly selectors: readonly string[] },
  key: ManifestKey,
  field: string,
): NextStep {
  const why = `the manifest does not say since when ${key.selector} is ${key.state} (${field})`;
  const action = `write ${field} into the manifest, in UTC like 2026-11-21T09:00:00Z`;
  return { ...subject, kind: 'operator', why, action };
}
