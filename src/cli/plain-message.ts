import type { ContentFacts } from '../mail/transaction.ts';

/** A message from a file, as the relay would see it after the client's DATA. */
export interface PlainMessage {
  /** Line ends are CRLF. */
  readonly octets: Buffer;
  readonly facts: ContentFacts;
  /** What was done to the file. */
  readonly notes: readonly string[];
}

/**
 * Takes a file for a message. A file has the line ends of its system, which are no fault of the
 * message: LF alone becomes CRLF. A first line `From …` of a mailbox file is left out.
 */
export function plainMessage(file: Buffer): PlainMessage {
  const isMailbox = file.subarray(0, 5).toString('latin1') === 'From ';
  const start = isMailbox ? file.indexOf('\n') + 1 : 0;
  const text = file.toString('latin1', start);
  const withoutPairs = text.replaceAll('\r\n', '\n');
  const strayLineEnds = withoutPairs.includes('\r');
  const normal = withoutPairs.replaceAll('\r', ' ').replaceAll('\n', '\r\n');
  const octets = Buffer.from(normal, 'latin1');
  const longestLine = normal
    .split('\r\n')
    .reduce((longest, line) => Math.max(longest, line.length), 0);
  return {
    octets,
    facts: { bytes: octets.length, strayLineEnds, nul: octets.includes(0), longestLine },
    notes: isMailbox ? ['The first line belongs to a mailbox file, and was left out'] : [],
  };
}
