/** One change to DNS that a step of a key's life needs. */
export interface RecordChange {
  /** Owner, absolute, lower case, no trailing dot. */
  readonly name: string;
  readonly type: 'TXT' | 'CNAME';
  readonly ttlS: number;
  /** Exactly what we wrote and what stands there now; undefined: nothing may stand there. */
  readonly before: { readonly value: string; readonly ttlS: number } | undefined;
  /** The unsplit value; undefined: remove. */
  readonly after: string | undefined;
}

/** What came of changes. They are made together or not at all, as far as one zone holds them. */
export type PublishResult =
  /** The authority has taken them (Route 53: INSYNC), or `before` had become `after` already. */
  | { readonly kind: 'written'; readonly detail: string }
  /** A person has to make them; the text is for that person. */
  | { readonly kind: 'by-hand'; readonly instructions: string }
  /**
   * Something stands there that we did not write, be it the very same; or what we wrote is gone
   * (`found` is empty). Nothing was changed. `found` has TXT values whole, others after their type.
   */
  | { readonly kind: 'in-the-way'; readonly found: readonly string[]; readonly hint: string }
  /** Nothing is known to have changed. The same call again does no harm. */
  | { readonly kind: 'failed'; readonly reason: string; readonly hint: string };

/** Name of the publisher that hands records over to a person. */
export const BY_HAND = 'print';

/**
 * Writes key records where the world reads them. It never changes or removes what it did not
 * write: the caller says what it wrote (`before`), and the authority compares.
 */
export interface Publisher {
  /** Name of the row of `publishers.ts`. */
  readonly name: string;
  /** Never rejects for what DNS or the provider says; only with the signal's reason. */
  apply(changes: readonly RecordChange[], signal?: AbortSignal): Promise<PublishResult>;
  close(): void;
}
