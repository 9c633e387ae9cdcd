import type { LocalReply } from '../mail/reply.ts';

/**
 * Policy is a list of rows. A row looks at the facts of one stage and lets them pass
 * (`undefined`) or refuses them with a reply that carries the row's name. Rows are pure: they do no
 * I/O and keep no state, so the order of a list is the whole story.
 */
export interface Rule<Facts> {
  /** Shown to the client and in the log, `stage.what`. */
  readonly name: string;
  /** What the rule is for, in one line, for listings. */
  readonly purpose: string;
  readonly check: (facts: Facts) => LocalReply | undefined;
}

/**
 * Asks the rows in order.
 *
 * @returns the first refusal, or undefined when every row lets the facts pass
 */
export function judge<Facts>(rules: readonly Rule<Facts>[], facts: Facts): LocalReply | undefined {
  for (const rule of rules) {
    const refusal = rule.check(facts);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}
