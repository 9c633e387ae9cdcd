import { fitsInDns, recordName } from '../key-name.ts';
import type { KeyringAccess } from '../keyring-access.ts';
import type { KeyringSnapshot } from '../keyring-store.ts';
import { KeysRefusal } from '../keys-error.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { probeSigner } from '../probe-signer.ts';
import type { KeySource } from './key-source.ts';

/** What a domain has got. */
export interface AddedKeys {
  readonly domain: ManifestDomain;
  readonly added: readonly ManifestKey[];
  readonly warnings: readonly string[];
}

/** The domain's entry, or an empty one. */
export function domainEntry(current: KeyringSnapshot, domain: string): ManifestDomain {
  return current.domains.get(domain) ?? { domain, subdomains: false, keys: [] };
}

/** Under which name a key is taken over. */
export interface TakeOverRequest {
  /** A-labels, lower case; see `toSigningDomain`. */
  readonly domain: string;
  readonly selector: string;
  /** Does the domain sign for its subdomains? undefined: as it stands, and no for a new domain. */
  readonly subdomains: boolean | undefined;
  /** TTL of the key record in seconds. */
  readonly ttlS: number;
}

/** In which state it comes in: fresh, or as far as its adopted record allows. */
export type TakenState =
  | { readonly state: 'created' }
  | {
      readonly state: 'verified';
      readonly publisher: string;
      /** When its record was seen: UTC, ISO 8601. */
      readonly seenAt: string;
    };

/**
 * What speaks against taking it over under this name, as the keyring stands.
 *
 * @throws KeysRefusal `key-name-too-long`, `key-selector-taken`, `key-already-there`
 */
export function refuseKnown(
  entry: ManifestDomain,
  source: Pick<KeySource, 'publicKey'>,
  selector: string,
): void {
  if (!fitsInDns(selector, entry.domain)) {
    const message = `${recordName(selector, entry.domain)} is too long for DNS`;
    throw new KeysRefusal('key-name-too-long', message);
  }
  const named = entry.keys.find((key) => key.selector === selector);
  if (named !== undefined) {
    const message = `${entry.domain} has a key with selector ${selector} already (${named.state})`;
    throw new KeysRefusal('key-selector-taken', message, {
      hint: 'a selector is never used twice; choose another one',
    });
  }
  const same = entry.keys.find((key) => key.publicKey === source.publicKey);
  if (same !== undefined) {
    const message = `${entry.domain} has this very key already, as selector ${same.selector}`;
    throw new KeysRefusal('key-already-there', message);
  }
}

/** The entry of the manifest for a key that is taken over. */
export function takenKey(
  source: KeySource,
  request: TakeOverRequest,
  taken: TakenState,
  wallMs: number,
): ManifestKey {
  return {
    selector: request.selector,
    algorithm: source.algorithm.name,
    backend: source.backend,
    publicKey: source.publicKey,
    ttlS: request.ttlS,
    createdAt: new Date(wallMs).toISOString(),
    activatedAt: undefined,
    retiringSince: undefined,
    ...takenFields(taken),
  };
}

/** What the state says in the manifest. */
export function takenFields(
  taken: TakenState,
): Pick<ManifestKey, 'state' | 'publishedAt' | 'verifiedAt' | 'publisher'> {
  if (taken.state === 'created') return { state: 'created' };
  const { state, publisher, seenAt } = taken;
  return { state, publishedAt: seenAt, verifiedAt: seenAt, publisher };
}

/**
 * Lets the back end keep the key, tries it, and lists it in the keyring.
 *
 * @throws KeysError, KeysRefusal as `refuseKnown` and the back end
 */
export async function takeOver(
  access: KeyringAccess,
  source: KeySource,
  request: TakeOverRequest,
  taken: TakenState,
): Promise<AddedKeys> {
  const { domain: name, selector } = request;
  return await access.store.change(async (current) => {
    const before = domainEntry(current, name);
    refuseKnown(before, source, selector);
    const backend = await access.connect(source.backend, 'make-if-first');
    const identity = { domain: name, selector, algorithm: source.algorithm.name };
    const material = await source.keep(backend, identity);
    await probeSigner(backend, { ...identity, publicKey: source.publicKey, material });
    const key = takenKey(source, request, taken, access.clock.wallMs());
    const added = material === undefined ? key : { ...key, material };
    const domain: ManifestDomain = {
      ...before,
      subdomains: request.subdomains ?? before.subdomains,
      keys: [...before.keys, added],
    };
    const { weakness } = source.algorithm;
    const warnings = [...backend.warnings, ...(weakness === undefined ? [] : [weakness])];
    return { domain, result: { domain, added: [added], warnings } };
  });
}
