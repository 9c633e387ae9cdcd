/** A line should have at most this many characters without CRLF (RFC 5322 section 2.1.1). */
export const MAX_LINE_CHARACTERS = 78;

/**
 * Joins words by single blanks and folds before a word that would make a line too long. A word
 * itself is never cut.
 *
 * @param used characters that stand on the first line already
 */
export function foldWords(words: readonly string[], used: number): string {
  let text = '';
  let column = used;
  for (const word of words) {
    const blank = text === '' ? 0 : 1;
    if (blank === 1 && column + 1 + word.length > MAX_LINE_CHARACTERS) {
      text += `\r\n\t${word}`;
      column = 1 + word.length;
    } else {
      text += blank === 1 ? ` ${word}` : word;
      column += blank + word.length;
    }
  }
  return text;
}
