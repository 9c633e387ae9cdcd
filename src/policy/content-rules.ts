import { localReply } from '../mail/reply.ts';
import type { ContentFacts } from '../mail/transaction.ts';
import type { Rule } from './rule.ts';

/** A line may have 998 octets without its CRLF (RFC 5322 section 2.1.1). */
export const MAX_LINE_OCTETS = 998;
/** A longer line is refused whatever `content.longLines` says. */
export const MAX_PASSED_LINE_OCTETS = 64 * 1024;

/** How content that breaks RFC 5321/5322 is met; see `content.*` in the configuration. */
export interface ContentPolicy {
  readonly strayLineEnds: 'fix' | 'refuse';
  readonly longLines: 'pass' | 'refuse';
  /** More Received fields than this are a loop (RFC 5321 section 6.3). */
  readonly maxHops: number;
}

/** What is known of a message at its final dot. */
export interface MessageFacts {
  readonly content: ContentFacts;
  readonly receivedFields: number;
  readonly policy: ContentPolicy;
}

/** Asked at the final dot, before anything is signed. */
export const contentRules: readonly Rule<MessageFacts>[] = [
  {
    name: 'content.nul',
    purpose: 'NUL is not allowed in a message (RFC 5322 section 4)',
    check: ({ content }) =>
      content.nul
        ? localReply(550, '5.6.0', 'content.nul', 'The message contains a NUL octet')
        : undefined,
  },
  {
    name: 'content.stray-line-ends',
    purpose: 'bare CR or LF, where content.strayLineEnds is refuse (RFC 5321 section 2.3.8)',
    check: ({ content, policy }) =>
      content.strayLineEnds && policy.strayLineEnds === 'refuse'
        ? localReply(
            550,
            '5.6.11',
            'content.stray-line-ends',
            'The message contains a CR or LF that is not part of a CRLF pair',
          )
        : undefined,
  },
  {
    name: 'content.long-lines',
    purpose: 'lines over 64 KiB always, over 998 octets where content.longLines is refuse',
    check: ({ content, policy }) => {
      const limit = policy.longLines === 'refuse' ? MAX_LINE_OCTETS : MAX_PASSED_LINE_OCTETS;
      return content.longestLine > limit
        ? localReply(
            550,
            '5.6.0',
            'content.long-lines',
            `A line of ${content.longestLine} octets is over the limit of ${limit}`,
          )
        : undefined;
    },
  },
  {
    name: 'header.hops',
    purpose: 'more than limits.hops Received fields are a mail loop',
    check: ({ receivedFields, policy }) =>
      receivedFields > policy.maxHops
        ? localReply(
            554,
            '5.4.6',
            'header.hops',
            `Mail loop: ${receivedFields} Received fields, at most ${policy.maxHops} are allowed`,
          )
        : undefined,
  },
];
