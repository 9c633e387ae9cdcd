import type { ManifestDomain } from '../manifest.ts';
import type { Advance } from './advance.ts';

/** How many domains at once, and when to stop. */
export interface ManyOptions {
  /** Domains that are taken at most. */
  readonly max: number;
  /** Domains at the same time, after the first one. */
  readonly concurrency: number;
  /** After so many failures no further domain is begun. */
  readonly stopAfterFailures: number;
  /** True when no further domain shall be begun, whatever the reason. */
  readonly isStopped?: () => boolean;
}

/** What became of one domain. */
export type DomainResult =
  | { readonly kind: 'advanced'; readonly domain: string; readonly advance: Advance }
  | { readonly kind: 'thrown'; readonly domain: string; readonly error: unknown };

export interface ManySummary {
  readonly taken: number;
  readonly failed: number;
  /** Domains in which something waits for DNS, relays or its time before the new keys sign. */
  readonly waiting: number;
  /** Domains that were due and not begun. */
  readonly left: number;
  readonly stopped: boolean;
}

/**
 * Takes the steps of many domains: one alone, as a canary, until one has not failed, and then
 * several at once. One domain that is broken for good keeps nobody else from rotating, and what
 * is broken for all stops after a few. Results are handed on as they come: nothing piles up.
 */
export async function rotateMany(
  entries: readonly ManifestDomain[],
  options: ManyOptions,
  one: (entry: ManifestDomain) => Promise<Advance>,
  onResult: (result: DomainResult) => void,
): Promise<ManySummary> {
  const chosen = entries.slice(0, options.max);
  const queue = chosen.values();
  let taken = 0;
  let failed = 0;
  let waiting = 0;
  const mayGoOn = () => failed < options.stopAfterFailures && options.isStopped?.() !== true;
  let succeeded = 0;
  const takeNext = async (): Promise<boolean> => {
    const { value: entry, done } = queue.next();
    if (done === true || entry === undefined) return false;
    taken += 1;
    const result = await resultOf(entry, one);
    if (hasFailed(result)) failed += 1;
    else {
      succeeded += 1;
      if (isWaiting(result)) waiting += 1;
    }
    onResult(result);
    return true;
  };
  while (succeeded === 0 && mayGoOn() && (await takeNext())) {
    // the next canary
  }
  const worker = async () => {
    while (mayGoOn() && (await takeNext())) {
      // the next one
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, worker));
  const left = entries.length - taken;
  return { taken, failed, waiting, left, stopped: taken < chosen.length };
}

async function resultOf(
  entry: ManifestDomain,
  one: (entry: ManifestDomain) => Promise<Advance>,
): Promise<DomainResult> {
  const { domain } = entry;
  try {
    return { kind: 'advanced', domain, advance: await one(entry) };
  } catch (error) {
    return { kind: 'thrown', domain, error };
  }
}

/** What is taken up by the next run, as soon as what it waits for is there. */
function isWaiting(result: DomainResult): boolean {
  if (result.kind === 'thrown') return false;
  const { entry, outcomes } = result.advance;
  return (
    entry.rotatingSince !== undefined || outcomes.some(({ result: { kind } }) => kind === 'waiting')
  );
}

/** A step that has to wait is no failure; one that failed or needs a person is. */
export function hasFailed(result: DomainResult): boolean {
  if (result.kind === 'thrown') return true;
  return result.advance.outcomes.some(
    ({ result: { kind } }) => kind === 'failed' || kind === 'operator',
  );
}
