import { checkRecord, type RecordCheck } from './check-record.ts';
import { familyOf } from './key-algorithm.ts';
import { KEY_STATE_ROWS } from './key-state.ts';
import type { KeyringAccess } from './keyring-access.ts';
import { KeysRefusal } from './keys-error.ts';
import type { ManifestDomain, ManifestKey } from './manifest.ts';
import { probeSigner } from './probe-signer.ts';
import { storedKey } from './stored-key.ts';
import type { TxtLookup } from './txt-lookup.ts';

/**
 * Activation, in order: choose the keys; each must be able to sign here (a probe) and must be seen
 * in DNS; then, in one write, they become `active` and the active keys of the same families
 * become `retiring`. The set changes together or not at all. Nothing is locked while DNS is asked.
 */

export interface ActivateKeysRequest {
  /** A-labels, lower case; see `toSigningDomain`. */
  readonly domain: string;
  /** Which keys; empty: all that were never active, at most one of each family. */
  readonly selectors: readonly string[];
  /** Activate even though DNS does not show the records, or Ed25519 would stand alone. */
  readonly force: boolean;
}

export type Activation =
  | {
      readonly kind: 'activated';
      readonly checks: readonly RecordCheck[];
      readonly activated: readonly string[];
      readonly retiring: readonly string[];
    }
  /** All chosen keys are active already. */
  | { readonly kind: 'unchanged'; readonly active: readonly string[] }
  /** DNS does not show what it must; nothing was changed. */
  | { readonly kind: 'not-seen'; readonly checks: readonly RecordCheck[] };

/**
 * Activates keys of a domain.
 *
 * @throws KeysError `key-unusable` and others, KeysRefusal `key-domain-unknown`,
 *   `key-selector-unknown`, `key-choice`, `key-state`, `key-ed25519-alone`, `keyring-changed`
 */
export async function activateKeys(
  access: KeyringAccess,
  request: ActivateKeysRequest,
  lookup: TxtLookup,
  commit: CommitActivation = commitAtOnce,
): Promise<Activation> {
  const entry = (await access.store.read()).domains.get(request.domain);
  if (entry === undefined) throw unknownDomain(request.domain);
  const chosen = chooseForActivation(entry, request.selectors);
  if (chosen.length === 0) {
    const active = entry.keys.filter((key) => KEY_STATE_ROWS[key.state].signs);
    return { kind: 'unchanged', active: active.map((key) => key.selector) };
  }
  const after = withActive(entry, chosen, access.clock.wallMs());
  if (!request.force) refuseEd25519Alone(after);
  for (const key of chosen) {
    const backend = await access.connect(key.backend, 'must-exist');
    await probeSigner(backend, storedKey(entry.domain, key));
  }
  const checks = await Promise.all(chosen.map((key) => checkRecord(entry.domain, key, lookup)));
  if (!request.force && checks.some((check) => check.verdict !== 'seen')) {
    return { kind: 'not-seen', checks };
  }
  await commit(access, entry, after);
  const newlyRetiring = after.keys.filter(
    (key, index) => key.state === 'retiring' && entry.keys[index]?.state !== 'retiring',
  );
  return {
    kind: 'activated',
    checks,
    activated: chosen.map((key) => key.selector),
    retiring: newlyRetiring.map((key) => key.selector),
  };
}

/**
 * Writes the outcome, if the keys are still those that were looked at.
 *
 * @throws KeysRefusal `keyring-changed`
 */
export type CommitActivation = (
  access: KeyringAccess,
  before: ManifestDomain,
  after: ManifestDomain,
) => Promise<void>;

const commitAtOnce: CommitActivation = async (access, before, after) => {
  await access.store.change(async (current) => {
    const now = current.domains.get(before.domain);
    refuseChangedKeys(before, now);
    return { domain: { ...after, lease: now?.lease }, result: undefined };
  });
};

/** @throws KeysRefusal `keyring-changed` */
export function refuseChangedKeys(before: ManifestDomain, now: ManifestDomain | undefined): void {
  const textOf = (entry: ManifestDomain | undefined) =>
    JSON.stringify({ ...entry, lease: undefined });
  if (textOf(now) !== textOf(before)) throw changedMeanwhile(before.domain);
}

/**
 * The keys to activate; those that are active already are left out.
 *
 * @param selectors which; empty: all that were never active, at most one of each family
 * @throws KeysRefusal `key-selector-unknown`, `key-choice`, `key-state`
 */
export function chooseForActivation(
  entry: ManifestDomain,
  selectors: readonly string[],
): readonly ManifestKey[] {
  const named = selectors.map((selector) => {
    const key = entry.keys.find((candidate) => candidate.selector === selector);
    if (key === undefined) throw unknownSelector(entry, selector);
    if (KEY_STATE_ROWS[key.state].activation === 'never') throw neverAgain(entry.domain, key);
    return key;
  });
  const candidates =
    selectors.length > 0
      ? named.filter((key) => KEY_STATE_ROWS[key.state].activation !== 'done')
      : entry.keys.filter((key) => KEY_STATE_ROWS[key.state].activation === 'candidate');
  const byFamily = Map.groupBy(new Set(candidates), familyOf);
  for (const [family, keys] of byFamily) {
    if (keys.length > 1) throw ambiguous(entry.domain, family, keys);
  }
  if (candidates.length === 0 && !entry.keys.some((key) => KEY_STATE_ROWS[key.state].signs)) {
    throw nothingToActivate(entry.domain);
  }
  return [...new Set(candidates)];
}

/** The entry in which the chosen keys are active, and their predecessors retiring. */
export function withActive(
  entry: ManifestDomain,
  chosen: readonly ManifestKey[],
  wallMs: number,
): ManifestDomain {
  const now = new Date(wallMs).toISOString();
  const families = new Set(chosen.map(familyOf));
  const keys = entry.keys.map((key): ManifestKey => {
    if (chosen.includes(key)) {
      return { ...key, state: 'active', activatedAt: now, retiringSince: undefined };
    }
    const isSucceeded = KEY_STATE_ROWS[key.state].signs && families.has(familyOf(key));
    return isSucceeded ? { ...key, state: 'retiring', retiringSince: now } : key;
  });
  return { ...entry, keys, rotatingSince: undefined };
}

/** @throws KeysRefusal `key-ed25519-alone` */
export function refuseEd25519Alone(after: ManifestDomain): void {
  const active = after.keys.filter((key) => KEY_STATE_ROWS[key.state].signs);
  if (active.some((key) => familyOf(key) === 'rsa')) return;
  const message = `${after.domain} would sign with Ed25519 only, which the largest receivers do not verify`;
  throw new KeysRefusal('key-ed25519-alone', message, {
    hint: 'activate an RSA key with it, or say --force',
  });
}

function unknownDomain(domain: string): KeysRefusal {
  return new KeysRefusal('key-domain-unknown', `the keyring has no domain ${domain}`, {
    hint: `"waxseal keys create ${domain}" makes its keys`,
  });
}

function unknownSelector(entry: ManifestDomain, selector: string): KeysRefusal {
  const known = entry.keys.map((key) => key.selector).join(', ');
  const message = `${entry.domain} has no key with selector ${selector}`;
  return new KeysRefusal('key-selector-unknown', message, { hint: `it has: ${known}` });
}

function neverAgain(domain: string, key: ManifestKey): KeysRefusal {
  const message = `${domain}: the key ${key.selector} is ${key.state} and does not come back`;
  return new KeysRefusal('key-state', message, {
    hint: `"waxseal keys create ${domain}" makes a new one`,
  });
}

function ambiguous(domain: string, family: string, keys: readonly ManifestKey[]): KeysRefusal {
  const selectors = keys.map((key) => key.selector).join(', ');
  const message = `${domain} has several ${family} keys to choose from: ${selectors}`;
  return new KeysRefusal('key-choice', message, {
    hint: 'only one of a kind can be active; name it with --selector',
  });
}

function nothingToActivate(domain: string): KeysRefusal {
  return new KeysRefusal('key-choice', `${domain} has no key that could be activated`, {
    hint: `"waxseal keys create ${domain}" makes one; a retiring key is activated again by --selector`,
  });
}

function changedMeanwhile(domain: string): KeysRefusal {
  const message = `the keys of ${domain} were changed by somebody else meanwhile; nothing was written`;
  return new KeysRefusal('keyring-changed', message, {
    hint: 'look at "waxseal keys list" and try again',
  });
}
