import { blanksOf, lowOctets } from './wsp-scan.ts';

/*
 * Rewrites text by the relaxed body canonicalisation (RFC 6376 section 3.4.4 a): runs of WSP become
 * one SP, WSP before CRLF goes. Text with a run of blanks at every word takes this way for all its
 * octets, so it works on words of four octets without a branch for what is in them; lines end once in
 * seventy octets, so the words with CR or LF in them are left to a plain loop.
 */

const TAB = 0x09;
const CR = 0x0d;
const SP = 0x20;

/** Room for rewritten text; hashed and emptied when full. */
export const GATHER_BYTES = 64 * 1024;
/** Rewriting may write this many octets after the last one that counts. */
export const GATHER_SLACK = 4;

/** Scratch space for rewritten text; nothing stays in it between two pieces of a body. */
export const gathered = new Uint8Array(GATHER_BYTES);
const gatheredView = new DataView(gathered.buffer);

/** Below this length a loop is faster than the native copy. */
const NATIVE_COPY_MIN = 48;

/** Copies octets that do not change. @returns where the next octet goes */
export function copyToGathered(piece: Uint8Array, from: number, end: number, at: number): number {
  if (end - from >= NATIVE_COPY_MIN) {
    gathered.set(piece.subarray(from, end), at);
    return at + end - from;
  }
  let to = at;
  for (let index = from; index < end; index++) gathered[to++] = piece[index] as number;
  return to;
}

/**
 * Canonicalises octets into the scratch space. The caller has made room for all of them.
 *
 * @param view a view of the same octets as `piece`
 * @param from where a stretch begins: the octet before it is no WSP
 * @returns where the next octet goes
 */
export function rewriteToGathered(
  piece: Uint8Array,
  view: DataView,
  from: number,
  end: number,
  at: number,
): number {
  const lastWord = end - 4;
  let to = at;
  let index = from;
  /** 0x80 if the last octet was WSP, else 0. */
  let wspBefore = 0;
  while (index < end) {
    while (index <= lastWord) {
      const word = view.getInt32(index, true);
      const low = lowOctets(word);
      const tabs = tabsOf(word);
      const wsp = blanksOf(low, word) | tabs;
      if (low !== wsp) break;
      // The lowest bit of each octet that is WSP after WSP, and therefore goes.
      const gone = (wsp & ((wsp << 8) | wspBefore)) >>> 7;
      // TAB and SP differ in 0x29.
      const blanked = word ^ Math.imul(tabs >>> 7, TAB ^ SP);
      gatheredView.setInt32(to, closeGaps(blanked, gone), true);
      to += 4 - (Math.imul(gone, 0x01010101) >>> 24);
      wspBefore = wsp >>> 24;
      index += 4;
    }
    const stop = index <= lastWord ? index + 4 : end;
    let afterWsp = wspBefore >>> 7;
    for (; index < stop; index++) {
      // Each octet is written; the place only moves on where it is to stay.
      const octet = piece[index] as number;
      if (octet === CR) to -= afterWsp;
      const wsp = octet === SP || octet === TAB ? 1 : 0;
      gathered[to] = wsp === 1 ? SP : octet;
      to += 1 - (wsp & afterWsp);
      afterWsp = wsp;
    }
    wspBefore = afterWsp << 7;
  }
  return to;
}

/** The top bit of each octet that is a TAB. Exact: no carry crosses octets, as in `lowOctets`. */
function tabsOf(word: number): number {
  const zeroAtTab = word ^ 0x09090909;
  return ~(((zeroAtTab & 0x7f7f7f7f) + 0x7f7f7f7f) | zeroAtTab | 0x7f7f7f7f);
}

/**
 * Takes octets out of a word, first octet lowest; those after them move up. What is left over at the
 * end has no meaning. From the last octet to the first, so that none moves past one yet to be taken.
 *
 * @param gone the lowest bit of each octet to be taken out
 */
function closeGaps(word: number, gone: number): number {
  const third = word ^ ((word ^ (word >>> 8)) & 0xffff0000 & -((gone >>> 16) & 1));
  const second = third ^ ((third ^ (third >>> 8)) & 0xffffff00 & -((gone >>> 8) & 1));
  return second ^ ((second ^ (second >>> 8)) & -(gone & 1));
}
