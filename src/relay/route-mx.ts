import { isHostName } from '../base/dns-name.ts';
import type { MxData } from '../base/resolver.ts';

/** A number in [0, 1), as of `Math.random`. */
export type RandomSource = () => number;

/** By rising preference number, those of equal preference in random order (RFC 5321 section 5.1). */
export function orderMxs(mxs: readonly MxData[], random: RandomSource): MxData[] {
  const shuffled = [...mxs];
  for (let last = shuffled.length - 1; last > 0; last -= 1) {
    const pick = Math.floor(random() * (last + 1));
    const [a, b] = [shuffled[pick], shuffled[last]];
    if (a !== undefined && b !== undefined) [shuffled[pick], shuffled[last]] = [b, a];
  }
  // The sort is stable, so equal preferences keep their shuffled order.
  return shuffled.sort((a, b) => a.preference - b.preference);
}

/** RFC 7505: a single MX whose exchange is the root says that the domain takes no mail. */
export function isNullMx(mxs: readonly MxData[]): boolean {
  return mxs.length > 0 && mxs.every((mx) => mx.exchange === '');
}

/**
 * True if the exchange may be looked up. An address in its place (`192.0.2.1`) is no host name: it
 * is neither used as an address (RFC 5321 section 5.1 wants a name) nor asked for.
 */
export function isUsableExchange(mx: MxData): boolean {
  return isHostName(mx.exchange);
}

/**
 * The preference number from which on MXs are useless because one of ours stands there: a message
 * sent to it or to a worse one comes back (RFC 5321 section 5.1). Infinity if none is ours.
 */
export function ownPreference(mxs: readonly MxData[], isOurs: (mx: MxData) => boolean): number {
  return mxs.reduce(
    (least, mx) => (mx.preference < least && isOurs(mx) ? mx.preference : least),
    Number.POSITIVE_INFINITY,
  );
}
