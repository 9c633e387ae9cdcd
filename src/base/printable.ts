// C0, DEL, C1, line and paragraph separators, bidirectional controls, lone surrogates, BOM.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/**
 * Text from outside, made safe for a log line or a terminal: control characters and the invisible
 * ones that reorder text become `\xNN` or `\u{NNNN}`, and the length is bounded.
 *
 * @param text anything a peer sent
 * @param maxLength characters kept (before escaping); the rest is replaced by `…`
 */
export function printable(text: string, maxLength = 1000): string {
  const bounded = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  if (bounded.search(UNPRINTABLE) < 0) return bounded;
  return bounded.replace(UNPRINTABLE, (character) => {
    const codePoint = character.charCodeAt(0);
    return codePoint < 0x100
      ? `\\x${codePoint.toString(16).padStart(2, '0')}`
      : `\\u{${codePoint.toString(16)}}`;
  });
}
