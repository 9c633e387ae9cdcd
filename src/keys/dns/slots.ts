import { isAskable } from '../../base/dns-name.ts';
import { recordName } from '../key-name.ts';
import type { KeyState } from '../key-state.ts';
import type { Publisher, PublishResult, RecordChange } from './publisher.ts';

/**
 * Slots: for customers who touch their zone once. They point a few names of theirs at names of ours,
 *
 *     wxr1._domainkey.customer.example  CNAME  wxr1.customer.example.keys.provider.example
 *
 * and so on for `wxr1` to `wxr3` and `wxe1` to `wxe3`: three for each family of keys, so that one
 * may sign, one retire and one rest. We change only the records at the targets. A name that served one
 * key must not serve another while caches, or mail under way, still know the first.
 */

export const SLOTS_PER_FAMILY = 3;

/** The selectors of the slots of a family, `letter` as in `selectorLetter` of `key-algorithm.ts`. */
export function slotSelectors(letter: string): string[] {
  return Array.from({ length: SLOTS_PER_FAMILY }, (_, index) => `wx${letter}${index + 1}`);
}

/** Where a slot's record stands. */
export function slotTarget(selector: string, domain: string, slotsUnder: string): string {
  return `${selector}.${domain}.${slotsUnder}`;
}

/** A key that a slot served. */
export interface SlotUse {
  readonly selector: string;
  readonly state: KeyState;
  /** TTL of its record in seconds. */
  readonly ttlS: number;
  /** UTC, ISO 8601; undefined unless revoked or later. */
  readonly revokedAt?: string | undefined;
}

export type FreeSlot =
  | { readonly kind: 'free'; readonly selector: string }
  /** One becomes free then (milliseconds since the epoch). */
  | { readonly kind: 'wait'; readonly selector: string; readonly untilMs: number }
  /** All serve keys that are not revoked. */
  | { readonly kind: 'none'; readonly reason: string };

/**
 * The slot that may take a new key: one never used; else the one that is revoked longest, once the
 * longest TTL that it ever served and the negative TTL of its zone have passed.
 *
 * @param uses all keys that the domain ever had in slots, of any state
 * @param negativeTtlS of the zone of the targets (RFC 2308)
 */
export function freeSlot(
  letter: string,
  uses: readonly SlotUse[],
  nowMs: number,
  negativeTtlS: number,
): FreeSlot {
  const selectors = slotSelectors(letter);
  const unused = selectors.find((selector) => !uses.some((use) => use.selector === selector));
  if (unused !== undefined) return { kind: 'free', selector: unused };
  const restings = selectors
    .flatMap((selector) => {
      const own = uses.filter((use) => use.selector === selector);
      const freeAtMs = restedAtMs(own, negativeTtlS);
      return freeAtMs === undefined ? [] : [{ selector, untilMs: freeAtMs }];
    })
    .sort((one, other) => one.untilMs - other.untilMs);
  const [first] = restings;
  if (first === undefined) {
    const reason = `all of ${selectors.join(', ')} serve keys that are not revoked`;
    return { kind: 'none', reason };
  }
  return first.untilMs <= nowMs
    ? { kind: 'free', selector: first.selector }
    : { kind: 'wait', ...first };
}

/** When the last trace of what a slot served is gone; undefined while it serves a key. */
function restedAtMs(uses: readonly SlotUse[], negativeTtlS: number): number | undefined {
  if (uses.some(({ state }) => state !== 'revoked' && state !== 'destroyed')) return undefined;
  const revokedMs = uses.map(({ revokedAt }) => Date.parse(revokedAt ?? ''));
  const longestTtlS = Math.max(...uses.map(({ ttlS }) => ttlS));
  const lastMs = Math.max(...revokedMs);
  if (Number.isNaN(lastMs)) return undefined; // nobody knows since when
  return lastMs + (longestTtlS + negativeTtlS) * 1000;
}

/** The CNAME records that the customer makes, once. */
export function slotAliases(
  domain: string,
  slotsUnder: string,
  letters: readonly string[],
): { readonly name: string; readonly target: string }[] {
  return letters.flatMap(slotSelectors).map((selector) => ({
    name: recordName(selector, domain),
    target: slotTarget(selector, domain, slotsUnder),
  }));
}

/** Writes the records of a domain's slots at their targets, through another publisher. */
export class SlotPublisher implements Publisher {
  readonly name: string;
  readonly #inner: Publisher;
  readonly #domain: string;
  readonly #slotsUnder: string;

  constructor(inner: Publisher, domain: string, slotsUnder: string) {
    this.name = inner.name;
    this.#inner = inner;
    this.#domain = domain;
    this.#slotsUnder = slotsUnder;
  }

  async apply(changes: readonly RecordChange[], signal?: AbortSignal): Promise<PublishResult> {
    const suffix = `._domainkey.${this.#domain}`;
    const moved = changes.map((change): RecordChange => {
      // The CNAMEs themselves are the customer's.
      if (change.type !== 'TXT' || !change.name.endsWith(suffix)) return change;
      const selector = change.name.slice(0, -suffix.length);
      return { ...change, name: slotTarget(selector, this.#domain, this.#slotsUnder) };
    });
    const long = moved.find(({ name }) => !isAskable(name));
    if (long !== undefined) {
      const reason = `the name ${long.name} is too long for DNS`;
      return { kind: 'failed', reason, hint: 'shorten "slotsUnder", or use dated selectors' };
    }
    return await this.#inner.apply(moved, signal);
  }

  close(): void {
    this.#inner.close();
  }
}
