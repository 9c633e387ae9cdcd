/*
 * Finds the next place where the relaxed body canonicalisation (RFC 6376 section 3.4.4) changes
 * anything: a blank before another blank or before CRLF. Text between two such places is hashed as it
 * is, so this search decides how fast a body is hashed. Words of four octets are looked at together: a
 * blank with an octet up to 0x20 after it is a candidate, which is then looked at octet by octet. A
 * search for single blanks would stop at every word of prose.
 */

const TAB = 0x09;
const CR = 0x0d;
const SP = 0x20;

/** Octets that one round of the loop looks at. */
const ROUND = 16;

/**
 * Marks the octets of a word that are at most 0x20 (SP, TAB, CR, LF and other controls).
 *
 * @returns the top bit of each such octet. No carry crosses octets: each sum stays under 0x100, and
 *   octets over 0x7f are taken out by `| word`.
 */
export function lowOctets(word: number): number {
  return ~(((word & 0x7f7f7f7f) + 0x5f5f5f5f) | word) & 0x80808080;
}

/** Of the octets marked by `lowOctets` the blanks: up to 0x20, only SP has the bit 0x20. */
export function blanksOf(low: number, word: number): number {
  return low & (word << 2);
}

/**
 * @param octets text; CR and LF occur only as CRLF
 * @param view a view of the same octets
 * @param from first octet looked at
 * @param end octet after the last one looked at
 * @returns index of the first blank that has a blank, a tab or a CR after it (before `end`), else `end`
 */
export function findBlankPair(
  octets: Uint8Array,
  view: DataView,
  from: number,
  end: number,
): number {
  let before = 0;
  let index = from;
  for (; index <= end - ROUND; index += ROUND) {
    const word0 = view.getInt32(index, true);
    const word1 = view.getInt32(index + 4, true);
    const word2 = view.getInt32(index + 8, true);
    const word3 = view.getInt32(index + 12, true);
    const low0 = lowOctets(word0);
    const low1 = lowOctets(word1);
    const low2 = lowOctets(word2);
    const low3 = lowOctets(word3);
    const blanks0 = blanksOf(low0, word0);
    const blanks1 = blanksOf(low1, word1);
    const blanks2 = blanksOf(low2, word2);
    const blanks3 = blanksOf(low3, word3);
    const pairs =
      (low0 & ((blanks0 << 8) | (before >>> 24))) |
      (low1 & ((blanks1 << 8) | (blanks0 >>> 24))) |
      (low2 & ((blanks2 << 8) | (blanks1 >>> 24))) |
      (low3 & ((blanks3 << 8) | (blanks2 >>> 24)));
    before = blanks3;
    if (pairs === 0) continue;
    // One octet back: the pair may have begun in the round before.
    const first = index === from ? from : index - 1;
    const found = findPairByOctet(octets, first, index + ROUND);
    if (found < index + ROUND) return found;
  }
  return findPairByOctet(octets, index === from ? from : index - 1, end);
}

function findPairByOctet(octets: Uint8Array, from: number, end: number): number {
  for (let index = from; index < end - 1; index++) {
    if (octets[index] !== SP) continue;
    const next = octets[index + 1];
    if (next === SP || next === CR || next === TAB) return index;
  }
  return end;
}
