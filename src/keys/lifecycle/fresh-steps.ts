import type { BackendName } from '../backend-names.ts';
import { allNextFallBacks, fallBackIn, isFallBack, nextFallBacks } from '../fall-back.ts';
import { DEFAULT_ALGORITHMS, familyOf, KEY_ALGORITHMS, type KeyFamily } from '../key-algorithm.ts';
import { KEY_STATES, type KeyState } from '../key-state.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { activeKeys, freshKeys, timeOf } from './key-changes.ts';
import type { LifecycleFacts, NextStep, StepName } from './next-steps.ts';
import type { RotationPolicy } from './policy.ts';
import { type WishState, wishState } from './rotation-wish.ts';

/**
 * What lies before the next keys of a domain. The *set* is one fresh key of each family that the
 * domain signs with or is to sign with: the one that is furthest, else the oldest. While nobody
 * wishes for a rotation, `standby` keeps a set ready and verified; without it fresh keys were made
 * by hand and are left to the hand that made them. A key that stands in for others is renewed with
 * them.
 */
export function freshSteps(
  entry: ManifestDomain,
  policy: RotationPolicy,
  nowMs: number,
  facts: LifecycleFacts,
): readonly NextStep[] {
  const wish = wishState(entry, policy, nowMs, facts.wish);
  const isStandIn = (key: ManifestKey) => facts.fallBacks && isFallBack(entry, key);
  const set = nextSet(entry, isStandIn);
  const standIns = freshKeys(entry).filter((key) => isStandIn(key) && key.state !== 'verified');
  const keepsStandby = policy.standby && activeKeys(entry).length > 0;
  if (wish.kind !== 'open' && !keepsStandby) {
    const hands = [...set.values(), ...standIns].map((key) => byHand(entry, key));
    return set.size === 0 ? [...wishSteps(entry, wish), ...hands] : hands;
  }
  const wanted = wantedAlgorithms(entry, set, facts);
  const missing = [...wanted].flatMap(([family, name]) => (set.has(family) ? [] : [name]));
  const steps: NextStep[] = [];
  if (missing.length > 0) {
    steps.push({ step: 'create', selectors: [], algorithms: missing, kind: 'due' });
  }
  const fallBacks = facts.fallBacks ? missingFallBacks(entry, policy) : [];
  for (const { algorithm, backend } of fallBacks) {
    steps.push({ step: 'create', selectors: [], algorithms: [algorithm], backend, kind: 'due' });
  }
  const keys = [...set.values()];
  const made = [...keys, ...standIns];
  const created = made.filter((key) => key.state === 'created').map((key) => key.selector);
  if (created.length > 0) steps.push({ step: 'publish', selectors: created, kind: 'due' });
  const published = made.filter((key) => key.state === 'published');
  steps.push(...verifySteps(published, nowMs));
  const isMade = missing.length === 0 && fallBacks.length === 0;
  if (isMade && made.every((key) => key.state === 'verified')) {
    const spare = facts.fallBacks ? allNextFallBacks(entry) : [];
    const set = { keys, spare };
    if (wish.kind === 'open') steps.push(activateStep(entry, set, policy, nowMs, facts));
    else steps.push(...wishSteps(entry, wish, keys));
  }
  return steps;
}

/** The fresh keys that come next, by family; those that only stand in are left out. */
export function nextSet(
  entry: ManifestDomain,
  isStandIn: (key: ManifestKey) => boolean = () => false,
): ReadonlyMap<KeyFamily, ManifestKey> {
  const set = new Map<KeyFamily, ManifestKey>();
  for (const key of freshKeys(entry)) {
    if (isStandIn(key)) continue;
    const other = set.get(familyOf(key));
    if (other === undefined || rank(key.state) > rank(other.state)) set.set(familyOf(key), key);
  }
  return set;
}

/** What stands in for keys now, and has no successor under way yet. */
function missingFallBacks(
  entry: ManifestDomain,
  policy: RotationPolicy,
): readonly { readonly algorithm: string; readonly backend: BackendName }[] {
  // Of three slots, one signs, one stands in, and one has to be free for the next key that signs.
  if (policy.names === 'slots') return [];
  return activeKeys(entry).flatMap((main) => {
    const current = fallBackIn(entry, main);
    const isMissing = current !== undefined && nextFallBacks(entry, main).length === 0;
    return isMissing ? [{ algorithm: creatable(current), backend: current.backend }] : [];
  });
}

function rank(state: KeyState): number {
  return KEY_STATES.indexOf(state);
}

/** By family, the algorithm that a new key is to have. */
function wantedAlgorithms(
  entry: ManifestDomain,
  set: ReadonlyMap<KeyFamily, ManifestKey>,
  facts: LifecycleFacts,
): ReadonlyMap<KeyFamily, string> {
  const wanted = new Map<KeyFamily, string>();
  for (const key of set.values()) wanted.set(familyOf(key), key.algorithm);
  for (const key of modelKeys(entry)) wanted.set(familyOf(key), creatable(key));
  for (const name of facts.algorithms) wanted.set(familyOf({ algorithm: name }), name);
  if (wanted.size === 0) {
    for (const row of DEFAULT_ALGORITHMS) wanted.set(row.family, row.name);
  }
  return wanted;
}

/** What new keys are to be like: those that sign; after an emergency, those that did. */
function modelKeys(entry: ManifestDomain): readonly ManifestKey[] {
  const active = activeKeys(entry);
  if (active.length > 0) return active;
  return entry.keys.filter((key) => key.activatedAt !== undefined && key.state !== 'destroyed');
}

/** An imported key of an odd size is succeeded by the usual one of its family. */
function creatable(key: ManifestKey): string {
  const row = KEY_ALGORITHMS.find((other) => other.name === key.algorithm);
  const usual = DEFAULT_ALGORITHMS.find((other) => other.family === familyOf(key));
  return (row ?? usual)?.name ?? key.algorithm;
}

function verifySteps(keys: readonly ManifestKey[], nowMs: number): readonly NextStep[] {
  const step: StepName = 'verify';
  const due: string[] = [];
  const waiting: NextStep[] = [];
  for (const { selector, verifiedAt, settledAt } of keys) {
    const atMs = verifiedAt === undefined ? undefined : timeOf(settledAt);
    if (atMs === undefined || nowMs >= atMs) due.push(selector);
    else {
      const why = 'the record is seen; caches may still hold an older answer';
      waiting.push({ step, selectors: [selector], kind: 'waiting', atMs, why });
    }
  }
  const first: readonly NextStep[] =
    due.length === 0 ? [] : [{ step, selectors: due, kind: 'due' }];
  return [...first, ...waiting];
}

/** What is activated together, and what is to stand in for it from then on. */
interface FreshSet {
  readonly keys: readonly ManifestKey[];
  readonly spare: readonly ManifestKey[];
}

/** The whole set together, when every relay can use it; where none reports, after `authLag`. */
function activateStep(
  entry: ManifestDomain,
  { keys, spare }: FreshSet,
  policy: RotationPolicy,
  nowMs: number,
  facts: LifecycleFacts,
): NextStep {
  const subject = { step: 'activate', selectors: keys.map((key) => key.selector) } as const;
  const families = new Set([...activeKeys(entry), ...keys].map(familyOf));
  if (!families.has('rsa') && !facts.force) {
    const why = `${entry.domain} would sign with Ed25519 only, which the largest receivers do not verify`;
    const action = `"waxseal keys create ${entry.domain} --algorithm rsa2048" and rotate again, or say --force`;
    return { ...subject, kind: 'operator', why, action };
  }
  const wait = relayWait([...keys, ...spare], policy, nowMs, facts);
  return wait === undefined
    ? { ...subject, kind: 'due' }
    : { ...subject, kind: 'waiting', ...wait };
}

/** What keys wait for before they may sign: relays that cannot use them, or did not say so. */
export function relayWait(
  keys: readonly ManifestKey[],
  policy: RotationPolicy,
  nowMs: number,
  facts: Pick<LifecycleFacts, 'relays' | 'usableAtOnce'>,
): { readonly atMs: number | undefined; readonly why: string } | undefined {
  const complaints = keys.flatMap(({ selector }) => facts.relays.get(selector) ?? []);
  if (complaints.length > 0) {
    const more = complaints.length > 1 ? `, and ${complaints.length - 1} more` : '';
    const why = `a relay cannot use the new keys yet: ${complaints[0]}${more}`;
    return { atMs: undefined, why };
  }
  const lagging = keys.filter(
    (key) => !facts.relays.has(key.selector) && !facts.usableAtOnce.has(key.backend),
  );
  const atMs = Math.max(
    0,
    ...lagging.map((key) => (timeOf(key.createdAt) ?? 0) + policy.authLagMs),
  );
  if (nowMs >= atMs) return undefined;
  const why = 'not all relays report that they can use the keys yet, and permissions spread slowly';
  return { atMs, why };
}

/** Nobody wishes for new keys: when will somebody, or what is missing. */
function wishSteps(
  entry: ManifestDomain,
  wish: WishState,
  standby: readonly ManifestKey[] = [],
): readonly NextStep[] {
  const step: StepName = standby.length > 0 ? 'activate' : 'create';
  const selectors = standby.map((key) => key.selector);
  const active = activeKeys(entry);
  if (active.length === 0) {
    const why = `no key of ${entry.domain} is active or under way`;
    const action = `"waxseal keys rotate ${entry.domain}" makes new ones`;
    return [{ step, selectors, kind: 'operator', why, action }];
  }
  if (wish.kind !== 'not-yet' || wish.atMs === undefined) return [];
  const why = 'the keys are young enough';
  return [{ step, selectors, kind: 'resting', atMs: wish.atMs, why }];
}

/** The step before a key that was made by hand. */
const BY_HAND: Readonly<Partial<Record<KeyState, StepName>>> = {
  created: 'publish',
  published: 'verify',
  verified: 'activate',
};

function byHand(entry: ManifestDomain, key: ManifestKey): NextStep {
  const step = BY_HAND[key.state] ?? 'publish';
  const why = `${key.state}, and no rotation is due`;
  const action = `"waxseal keys ${step} ${entry.domain}", or "waxseal keys rotate ${entry.domain}" takes all steps`;
  return { step, selectors: [key.selector], kind: 'operator', why, action };
}
