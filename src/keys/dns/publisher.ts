/** Who writes key records into DNS; rows are in `publishers.ts`. */

/** One record as it is to be. */
export interface RecordChange {
  /** Owner, absolute, lower case, without a trailing dot. */
  readonly name: string;
  readonly type: 'TXT' | 'CNAME';
  readonly ttlS: number;
  /** Exactly what we wrote and that stands now; undefined: nothing may stand there. */
  readonly before: { readonly value: string; readonly ttlS: number } | undefined;
  /** Unsplit value; undefined: remove. */
  readonly after: string | undefined;
}

export type PublishResult =
  /** The authority has taken it (Route 53: INSYNC). */
  | { readonly kind: 'written'; readonly detail: string }
  /** A person has to do it; the text is for them. */
  | { readonly kind: 'by-hand'; readonly instructions: string }
  /** Something that we did not write. */
  | { readonly kind: 'in-the-way'; readonly found: readonly string[]; readonly hint: string }
  | { readonly kind: 'failed'; readonly reason: string; readonly hint: string };

export interface Publisher {
  readonly name: string;
  /** All of the changes or none. */
  apply(changes: readonly RecordChange[], signal?: AbortSignal): Promise<PublishResult>;
  close(): void;
}
