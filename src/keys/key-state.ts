/**
 * The life of a key. It goes down this list; `active` and `retiring` may change places by
 * activating the retiring key again.
 *
 *     created -> published -> verified -> active -> retiring -> revoked -> destroyed
 *
 * Records that a person writes are published too; `keys activate` takes the steps before it on its way.
 */
export const KEY_STATES = [
  'created',
  'published',
  'verified',
  'active',
  'retiring',
  'revoked',
  'destroyed',
] as const;

export type KeyState = (typeof KEY_STATES)[number];

/** One row: what a state means. */
export interface KeyStateRow {
  /** The relay signs with it, and opens its private key at start. */
  readonly signs: boolean;
  /**
   * `candidate`: activated when no selector is named; `named`: only when the operator names it;
   * `never`: a revoked key does not come back.
   */
  readonly activation: 'candidate' | 'named' | 'done' | 'never';
  /** The key record in DNS: the key, `p=` empty (RFC 6376 section 3.6.1), or none. */
  readonly record: 'key' | 'revoked' | 'none';
  /** It was not active yet, as far as its state says. */
  readonly fresh: boolean;
}

export const KEY_STATE_ROWS: Readonly<Record<KeyState, KeyStateRow>> = {
  created: { signs: false, activation: 'candidate', record: 'key', fresh: true },
  published: { signs: false, activation: 'candidate', record: 'key', fresh: true },
  verified: { signs: false, activation: 'candidate', record: 'key', fresh: true },
  active: { signs: true, activation: 'done', record: 'key', fresh: false },
  retiring: { signs: false, activation: 'named', record: 'key', fresh: false },
  revoked: { signs: false, activation: 'never', record: 'revoked', fresh: false },
  destroyed: { signs: false, activation: 'never', record: 'none', fresh: false },
};
