import type { Reply } from './reply.ts';

/**
 * How a transaction or one recipient of it ended. `in-doubt`: the leg's final dot went out and no
 * answer came, so nobody knows (RFC 1047).
 */
export type OutcomeKind = 'accepted' | 'rejected' | 'deferred' | 'in-doubt';

/** How it ended for one recipient. */
export interface RecipientOutcome {
  /** The forward-path as the client wrote it. */
  readonly recipient: string;
  readonly outcome: OutcomeKind;
  /** The reply that decided it. */
  readonly reply: Reply;
}
