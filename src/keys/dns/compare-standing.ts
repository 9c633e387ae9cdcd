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

/**
 * Compares what stands at a name with what the caller knows that we wrote. A record that is exactly
 * the wished one counts as ours: it holds a key that we made, so an earlier run wrote it, or a person.
 */
export function compareStanding(
  { name, type, before, after, ttlS }: RecordChange,
  standing: readonly Standing[],
): Comparison {
  const [first, ...others] = standing;
  const isAlone = others.length === 0 && first?.type === type && first.values.length === 1;
  const value = isAlone ? first.values[0] : undefined;
  if (first === undefined) {
    if (after === undefined) return { kind: 'done' };
    if (before === undefined) return { kind: 'as-said' };
    return inTheWay(name, standing, 'the record that we wrote is gone; who removed it?');
  }
  const isWished = after !== undefined && value !== undefined && same(type, value, after);
  const isSettled = before === undefined || before.ttlS === ttlS || first.ttlS === ttlS;
  if (isWished && isSettled) return { kind: 'done' };
  if (before !== undefined && value !== undefined && same(type, value, before.value)) {
    return { kind: 'as-said' };
  }
  return inTheWay(
    name,
    standing,
    before === undefined
      ? 'remove it if nobody needs it, or take it over with --adopt-record if it is the same key'
      : 'it is not what we wrote; put the old value back, or remove it',
  );
}

function inTheWay(
  name: string,
  standing: readonly Standing[],
  hint: string,
): Extract<PublishResult, { kind: 'in-the-way' }> {
  const found = standing
    .flatMap(({ type, values }) => values.map((value) => `${type} ${printable(value, 1500)}`))
    .slice(0, MAX_SHOWN);
  return { kind: 'in-the-way', found, hint: `${name}: ${hint}` };
}

function same(type: RecordChange['type'], one: string, other: string): boolean {
  return type === 'TXT' ? one === other : host(one) === host(other);
}

function host(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
