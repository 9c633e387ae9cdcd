import type { ManifestDomain } from '../manifest.ts';
import { activeKeys, timeOf } from './key-changes.ts';
import { DAY_MS, daysText, type RotationPolicy } from './policy.ts';

/**
 * Does somebody want new keys for this domain? An operator who says `rotate DOMAIN`, or the age of
 * its keys with `--due`. The manifest keeps the first kind (`rotatingSince`) until the new keys are
 * active, so that the scheduled job goes on with what an operator began. Saying it again (after a kill, or twenty times at once) must not rotate
 * again: the keys that came into use since, or just now, are what was wished for.
 */
export type RotationWish =
  /** When the keys are old enough, and not otherwise. */
  | { readonly kind: 'when-old' }
  | {
      readonly kind: 'asked';
      /** When the command began; keys that are active since then fulfil it. */
      readonly sinceMs: number;
      /** Even though the last rotation is not over, or of today. */
      readonly again: boolean;
    };

export type WishState =
  | { readonly kind: 'open' }
  /** Nothing to do for it; why, for the operator. */
  | { readonly kind: 'fulfilled'; readonly why: string }
  | { readonly kind: 'not-yet'; readonly atMs: number | undefined };

/** A rotation is never begun anew within this time without being asked twice. */
const RECENT_MS = DAY_MS;

/** Where a wish stands. Pure. */
export function wishState(
  entry: ManifestDomain,
  policy: RotationPolicy,
  nowMs: number,
  wish: RotationWish,
): WishState {
  const isUnderWay = entry.rotatingSince !== undefined;
  const activations = activeKeys(entry).map((key) => timeOf(key.activatedAt ?? key.createdAt) ?? 0);
  if (activations.length === 0) {
    const isWished = wish.kind === 'asked' || isUnderWay;
    return isWished ? { kind: 'open' } : { kind: 'not-yet', atMs: undefined };
  }
  if (wish.kind === 'when-old') {
    const atMs = Math.min(...activations) + policy.rotateAfterMs;
    return nowMs >= atMs || isUnderWay ? { kind: 'open' } : { kind: 'not-yet', atMs };
  }
  const newestMs = Math.max(...activations);
  const age = daysText(Math.max(0, nowMs - newestMs));
  if (newestMs >= wish.sinceMs) return { kind: 'fulfilled', why: 'the new keys are active' };
  if (wish.again || isUnderWay) return { kind: 'open' };
  if (nowMs - newestMs < RECENT_MS) {
    return { kind: 'fulfilled', why: `the keys are active for ${age}` };
  }
  const retiring = entry.keys.find((key) => key.state === 'retiring');
  if (retiring === undefined) return { kind: 'open' };
  const why = `the keys are active for ${age}, and ${retiring.selector} is still retiring`;
  return { kind: 'fulfilled', why };
}
