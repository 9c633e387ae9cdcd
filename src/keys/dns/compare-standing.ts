import { printable } from '../../base/printable.ts';
import type { PublishResult, RecordChange } from './publisher.ts';

/** What a provider says stands at a name: of TXT records the joined strings, of a CNAME its target. */
export interface Standing {
  readonly type: 'TXT' | 'CNAME';
  readonly values: readonly string[];
  readonly ttlS: number | undefined;
}

/** What is to be done about a change, given what stands there. */
export type Comparison =
  /** The wished state is there. */
  | { readonly kind: 'done' }
  /** It is as the caller said: nothing, or exactly what we wrote. */
  | { readonly kind: 'as-said' }
  | Extract<PublishResult, { kind: 'in-the-way' }>;

const MAX_SHOWN = 5;
/** More than any key record has. */
const MAX_SHOWN_CHARACTERS = 1500;

/**
 * Compares what stands at a name with what the caller knows that we wrote. A record that nobody told
 * us of is foreign even when it is exactly the wished one: taking it over is the caller's decision.
 *
 * @param mayBeOurs an attempt of this very call may have written it: its answer was lost
 */
export function compareStanding(
  { name, type, before, after, ttlS }: RecordChange,
  standing: readonly Standing[],
  mayBeOurs = false,
): Comparison {
  const [first, ...others] = standing;
  if (first === undefined) {
    if (after === undefined) return { kind: 'done' };
    if (before === undefined) return { kind: 'as-said' };
    return inTheWay(name, standing, 'the record that we wrote is gone; who removed it?');
  }
  const isAlone = others.length === 0 && first.type === type && first.values.length === 1;
  const value = isAlone ? first.values[0] : undefined;
  const isWished = after !== undefined && value !== undefined && same(type, value, after);
  if (before === undefined) {
    if (isWished && mayBeOurs) return { kind: 'done' };
    const hint = isWished
      ? 'it is exactly the right one, but was not written here; --adopt-record takes it over'
      : 'it was not written here; remove it if nobody needs it';
    return inTheWay(name, standing, hint);
  }
  const isSettled = before.ttlS === ttlS || first.ttlS === ttlS;
  if (isWished && isSettled) return { kind: 'done' };
  if (value !== undefined && same(type, value, before.value)) return { kind: 'as-said' };
  return inTheWay(name, standing, 'it is not what we wrote; put the old value back, or remove it');
}

function inTheWay(
  name: string,
  standing: readonly Standing[],
  hint: string,
): Extract<PublishResult, { kind: 'in-the-way' }> {
  const found = standing
    .flatMap(({ type, values }) => values.map((value) => shown(type, value)))
    .slice(0, MAX_SHOWN);
  return { kind: 'in-the-way', found, hint: `${name}: ${hint}` };
}

function same(type: RecordChange['type'], one: string, other: string): boolean {
  return type === 'TXT' ? one === other : host(one) === host(other);
}

function host(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

/** TXT values as they are, so that callers can compare them; others with their type. */
function shown(type: Standing['type'], value: string): string {
  const text = printable(value, MAX_SHOWN_CHARACTERS);
  return type === 'TXT' ? text : `${type} ${text}`;
}
