import type { ParsedReply } from '../mail/reply-parser.ts';
import type { Fault } from './smtp-client-answer.ts';
import type { ContentWriter } from './smtp-client-content.ts';

/** What replies that arrived behind the writing of the dot mean. */
export type DotJudgement =
  | { readonly kind: 'wait' }
  /** `last`: the connection ends with it; nothing that may follow, either way, is wanted. */
  | {
      readonly kind: 'reply';
      readonly item: ParsedReply & { kind: 'reply' };
      readonly last: boolean;
    }
  /** A 2xx that counts if the dot turns out to have left. */
  | { readonly kind: 'held'; readonly item: ParsedReply & { kind: 'reply' } }
  | { readonly kind: 'fault'; readonly fault: Fault };

/**
 * The most delicate decision of all: is this a 2xx to our dot? It is, if it began behind the dot,
 * the dot has left, and nothing in the same segment says otherwise. Further replies of the same
 * kind, noise and a 421 take nothing back: the MX has accepted, and answering 451 would deliver
 * the message twice.
 *
 * A dot has left when the kernel took it. An MX that says 2xx while the end of a message still lies
 * in the kernel's buffers, and takes no more of it, cannot be told from one that has read it all.
 *
 * @param unasked whether the first reply began before the dot was written
 */
export function judgeDotReplies(
  found: readonly ParsedReply[],
  unasked: boolean,
  writer: ContentWriter,
): DotJudgement {
  const [first, ...rest] = found;
  if (first === undefined) return { kind: 'wait' };
  if (first.kind === 'malformed') {
    return { kind: 'fault', fault: { kind: 'malformed', detail: first.what } };
  }
  const codeClass = Math.trunc(first.code / 100);
  const contradicted = rest.some(
    (item) =>
      item.kind === 'reply' && item.code !== 421 && Math.trunc(item.code / 100) !== codeClass,
  );
  if (codeClass === 3 || contradicted || (codeClass === 2 && unasked)) {
    const detail = `it said ${first.code}, and not as the one answer to the final dot`;
    return { kind: 'fault', fault: { kind: 'out-of-step', detail } };
  }
  if (codeClass > 3 || writer.flushed) {
    // Refused before it has all of it: the rest must not follow, the dot least of all.
    const last = rest.length > 0 || first.code === 421 || !writer.flushed;
    return { kind: 'reply', item: first, last };
  }
  return writer.mayHaveEnded ? { kind: 'held', item: first } : { kind: 'fault', fault: tooEarly };
}

/** A 2xx while part of the content still waits to be sent. */
export const tooEarly: Fault = {
  kind: 'out-of-step',
  detail: 'it said 2xx before it had the final dot',
};
