import type { KeyAlgorithm } from '../key-algorithm.ts';
import { datedSelector, fitsInDns, recordName } from '../key-name.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { timeOf } from './key-changes.ts';
import type { KeyNaming } from './policy.ts';

/**
 * Names of new keys. `dated` names are never used again. `slots` are three names for each family
 * (`wxr1 wxr2 wxr3`, `wxe1 …`), for customers who delegate each by CNAME once: a slot takes a new
 * key only when its old one is destroyed and no cache can hold its record any more, which is the
 * TTL of that record and the zone's negative TTL after it went.
 */

const SLOTS = [1, 2, 3] as const;

export type NextSelector =
  | { readonly kind: 'selector'; readonly selector: string }
  | {
      readonly kind: 'refused';
      readonly code: string;
      readonly why: string;
      readonly hint: string;
    };

export interface SelectorOptions {
  readonly names: KeyNaming;
  /** TTL of negative answers in the zone, in seconds. */
  readonly negativeTtlS: number;
  /** True where the back end holds something under this name, whether the manifest knows or not. */
  isTaken(selector: string): Promise<boolean>;
}

/** The name of the next key. */
export async function nextSelector(
  entry: ManifestDomain,
  algorithm: KeyAlgorithm,
  nowMs: number,
  options: SelectorOptions,
): Promise<NextSelector> {
  const found =
    options.names === 'slots'
      ? freeSlot(entry, algorithm, nowMs, options)
      : await freeDate(entry, algorithm, nowMs, options);
  if (found.kind === 'refused' || fitsInDns(found.selector, entry.domain)) return found;
  return {
    kind: 'refused',
    code: 'key-name-too-long',
    why: `${recordName(found.selector, entry.domain)} is too long for DNS`,
    hint: 'DNS names have 253 characters at most (RFC 1035 section 2.3.4)',
  };
}

async function freeDate(
  entry: ManifestDomain,
  algorithm: KeyAlgorithm,
  nowMs: number,
  options: SelectorOptions,
): Promise<NextSelector> {
  const taken = new Set(entry.keys.map((key) => key.selector));
  for (;;) {
    const selector = datedSelector(nowMs, algorithm.selectorLetter, (name) => taken.has(name));
    if (!(await options.isTaken(selector))) return { kind: 'selector', selector };
    taken.add(selector);
  }
}

function freeSlot(
  entry: ManifestDomain,
  algorithm: KeyAlgorithm,
  nowMs: number,
  { negativeTtlS }: SelectorOptions,
): NextSelector {
  const waits: string[] = [];
  for (const slot of SLOTS) {
    const selector = `wx${algorithm.selectorLetter}${slot}`;
    const key = entry.keys.find((candidate) => candidate.selector === selector);
    const freeMs = key === undefined ? 0 : slotFreeMs(key, negativeTtlS);
    if (freeMs !== undefined && nowMs >= freeMs) return { kind: 'selector', selector };
    const until = freeMs === undefined ? '' : `, free at ${new Date(freeMs).toISOString()}`;
    waits.push(`${selector} is ${key?.state ?? 'free'}${until}`);
  }
  return {
    kind: 'refused',
    code: 'key-no-slot',
    why: `${entry.domain} has no free slot for a new ${algorithm.family} key: ${waits.join('; ')}`,
    hint: '"waxseal keys status" says when the old keys are revoked and destroyed',
  };
}

/** When nothing of the slot's old key is in any cache; undefined while it is not destroyed. */
function slotFreeMs(key: ManifestKey, negativeTtlS: number): number | undefined {
  if (key.state !== 'destroyed') return undefined;
  const goneMs = timeOf(key.destroyedAt) ?? timeOf(key.revokedAt) ?? timeOf(key.createdAt) ?? 0;
  return goneMs + (key.ttlS + negativeTtlS) * 1000;
}
