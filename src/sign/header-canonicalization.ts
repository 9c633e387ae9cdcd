import type { HeaderField } from '../mail/header-fields.ts';

/** Header canonicalisation, the part of `c=` before the slash (RFC 6376 section 3.4). */
export type HeaderCanonicalization = 'simple' | 'relaxed';

/**
 * Canonicalises fields (RFC 6376 sections 3.4.1 and 3.4.2), each with its CRLF.
 *
 * @returns octets as latin1 text, so that UTF-8 and 8-bit octets pass unchanged
 */
export function canonicalHeader(
  canonicalization: HeaderCanonicalization,
  fields: readonly HeaderField[],
): string {
  let text = '';
  for (const field of fields) {
    text +=
      canonicalization === 'simple'
        ? field.octets.toString('latin1')
        : `${field.name}:${relaxedValue(field.octets.toString('latin1', field.valueStart))}\r\n`;
  }
  return text;
}

/**
 * The relaxed form of a field's value: unfolded, runs of WSP made one SP, none at either end.
 *
 * @param value text after the colon, with folding, with or without its final CRLF
 */
export function relaxedValue(value: string): string {
  // Most fields are one line with single blanks; then only the ends are to be trimmed.
  const unfolded = value.includes('\r\n', 0) ? value.replaceAll('\r\n', '') : value;
  const single = NEEDS_REDUCING.test(unfolded) ? unfolded.replace(WSP_RUN, ' ') : unfolded;
  const from = single.startsWith(' ') ? 1 : 0;
  const end = single.length - (single.endsWith(' ') && single.length > from ? 1 : 0);
  return single.slice(from, end);
}

const NEEDS_REDUCING = /\t| {2}/;
const WSP_RUN = /[ \t]+/g;
