import { KEY_STATE_ROWS, type KeyState } from '../key-state.ts';
import { KeysRefusal } from '../keys-error.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';

/**
 * The keys that a command is about: the named ones, each in a state that the command is for; or
 * all in such a state.
 *
 * @throws KeysRefusal `key-selector-unknown`, `key-state`
 */
export function chooseKeys(
  entry: ManifestDomain,
  selectors: readonly string[],
  states: readonly KeyState[],
): readonly ManifestKey[] {
  for (const selector of selectors) {
    const key = entry.keys.find((candidate) => candidate.selector === selector);
    if (key === undefined) {
      const message = `${entry.domain} has no key with selector ${selector}`;
      const known = entry.keys.map((other) => other.selector).join(', ');
      throw new KeysRefusal('key-selector-unknown', message, { hint: `it has: ${known}` });
    }
    if (!states.includes(key.state)) throw wrongState(entry, key, states);
  }
  return entry.keys.filter(
    (key) =>
      states.includes(key.state) && (selectors.length === 0 || selectors.includes(key.selector)),
  );
}

/** States of keys that were never active. */
export const FRESH_STATES: readonly KeyState[] = ['created', 'published', 'verified'];

/** States of keys whose private half may still sign something that verifies. */
export const LIVE_STATES: readonly KeyState[] = [...FRESH_STATES, 'active', 'retiring', 'revoked'];

function wrongState(
  entry: ManifestDomain,
  key: ManifestKey,
  states: readonly KeyState[],
): KeysRefusal {
  const message = `${entry.domain}: the key ${key.selector} is ${key.state}, and this is for keys that are ${states.join(', ')}`;
  const isOver = KEY_STATE_ROWS[key.state].activation === 'never';
  const hint = isOver
    ? `"waxseal keys create ${entry.domain}" makes a new one`
    : `"waxseal keys status ${entry.domain}" says what comes next`;
  return new KeysRefusal('key-state', message, { hint });
}
