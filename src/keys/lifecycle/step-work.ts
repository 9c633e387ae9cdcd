import type { BackendName } from '../backend-names.ts';
import { BACKENDS } from '../backends.ts';
import { isFallBack } from '../fall-back.ts';
import { DEFAULT_TTL_S, type ManifestDomain, type ManifestKey } from '../manifest.ts';
import type { CreateOptions } from './create-step.ts';
import { type LeasedDomain, underLease } from './leased-domain.ts';
import type { LifecycleAccess, SeenChoice } from './lifecycle-access.ts';
import { newKeyRegions } from './new-key-regions.ts';
import { type NextStep, nextSteps } from './next-steps.ts';
import type { RotationPolicy } from './policy.ts';
import type { RelayIndex } from './relay-index.ts';
import type { RotationWish } from './rotation-wish.ts';
import { withStandIns } from './stand-in-times.ts';
import type { StepResult } from './step-outcome.ts';

/** What a command wants, as far as steps ask for it. */
export interface StepWishes {
  readonly wish: RotationWish;
  /** Names of algorithm rows; empty: as the active keys. */
  readonly algorithms: readonly string[];
  /** For new keys; undefined: as the active keys, and `file` without any. */
  readonly backend: BackendName | undefined;
  /** For new keys, home first; undefined: as the keys that they succeed. */
  readonly regions?: readonly string[] | undefined;
  /** Of the records of new keys, in seconds; undefined: as the active keys. */
  readonly ttlS: number | undefined;
  readonly subdomains: boolean | undefined;
  readonly force: boolean;
  /** Private keys are destroyed by somebody else. */
  readonly noDestroy?: boolean;
  /** Take records over that are exactly right and that we did not write. */
  readonly adopt: boolean;
  readonly seen: SeenChoice;
  /** For the journal; mandatory where a step says so. */
  readonly reason: string | undefined;
}

/** What carrying out steps of one domain works with. */
export interface StepWork {
  readonly access: LifecycleAccess;
  readonly policy: RotationPolicy;
  readonly wishes: StepWishes;
  /** Names of back ends whose keys can be used as soon as they are made. */
  readonly usableAtOnce: ReadonlySet<string>;
  readonly relays: RelayIndex;
  /** `kms.regions`; absent: none are configured. */
  readonly configuredRegions?: readonly string[];
  /** `kms.fallback` */
  readonly fallBacks: boolean;
  /** True when another domain uses the very same private key, which then has to stay. */
  isShared(domain: string, key: ManifestKey): boolean;
}

/** What a step made of the domain. */
export interface StepRun {
  readonly entry: ManifestDomain;
  readonly result: StepResult;
  readonly notes: readonly string[];
  /** The keys that it was about in the end, where those are not the target's. */
  readonly selectors?: readonly string[];
}

/** Keys of a domain that a step is to be taken for. */
export interface StepTarget {
  readonly entry: ManifestDomain;
  readonly selectors: readonly string[];
}

/**
 * Runs `action` under the lease with those of the target's keys that are still in the state from
 * which the step goes: somebody may have been faster.
 */
export async function underLeaseIn(
  work: StepWork,
  target: StepTarget,
  isRight: (key: ManifestKey) => boolean,
  action: (held: LeasedDomain, keys: readonly ManifestKey[]) => Promise<StepRun>,
): Promise<StepRun> {
  return await underLease(work.access, target.entry.domain, async (held) => {
    const keys = held.entry.keys.filter(
      (key) => target.selectors.includes(key.selector) && isRight(key),
    );
    if (keys.length === 0) return { entry: held.entry, result: { kind: 'overtaken' }, notes: [] };
    return await action(held, keys);
  });
}

/** Whoever names the back end that stands in wants its keys to succeed the active ones. */
export function keepsFallBacks({ fallBacks, wishes: { backend } }: StepWork): boolean {
  return fallBacks && (backend === undefined || BACKENDS[backend].fallBack !== undefined);
}

/** Is a key kept to stand in for an active one, and no successor of it? */
export function isKeptAside(work: StepWork, entry: ManifestDomain, key: ManifestKey): boolean {
  return keepsFallBacks(work) && isFallBack(entry, key);
}

/** The steps that lie before a domain now, with what relays say taken in. */
export async function stepsNow(
  work: StepWork,
  entry: ManifestDomain,
): Promise<readonly NextStep[]> {
  const { wish, algorithms, force } = work.wishes;
  const { usableAtOnce, policy } = work;
  const view = await work.relays.of(entry.domain);
  const relays = view.complaints;
  const fallBacks = keepsFallBacks(work);
  const facts = { wish, algorithms, relays, usableAtOnce, fallBacks, force };
  const steps = nextSteps(withStandIns(entry, view), policy, work.access.clock.wallMs(), facts);
  if (work.wishes.noDestroy !== true) return steps;
  return steps.filter(({ step, kind }) => step !== 'destroy' || kind !== 'due');
}

/**
 * How new keys of a domain are made.
 *
 * @param where the back end, if neither the one that was asked for nor that of the active keys
 */
export function createOptions(
  work: StepWork,
  entry: ManifestDomain,
  where?: BackendName,
): CreateOptions {
  const { ttlS, subdomains, regions } = work.wishes;
  // The last key may be one that only stands in for another, with another back end.
  const last =
    entry.keys.findLast((key) => key.state === 'active') ??
    entry.keys.findLast((key) => key.activatedAt !== undefined) ??
    entry.keys.at(-1);
  const backend = where ?? work.wishes.backend ?? last?.backend ?? 'file';
  const configured = work.configuredRegions ?? [];
  return {
    backend,
    regions,
    usualRegions: (algorithm, of) => newKeyRegions(entry, algorithm, of, configured),
    ttlS: ttlS ?? last?.ttlS ?? DEFAULT_TTL_S,
    names: work.policy.names,
    subdomains,
    negativeTtlS: NEGATIVE_TTL_S,
  };
}

/** RFC 2308 section 5 lets resolvers keep a negative answer for so long; a zone seldom says more. */
const NEGATIVE_TTL_S = 10_800;
