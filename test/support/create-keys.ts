import { randomUUID } from 'node:crypto';
import type { KeyBackend } from '../../src/keys/backend.ts';
import { type AddedKeys, domainEntry } from '../../src/keys/import/take-over.ts';
import type { KeyAlgorithm } from '../../src/keys/key-algorithm.ts';
import { datedSelector, fitsInDns } from '../../src/keys/key-name.ts';
import type { KeyringAccess } from '../../src/keys/keyring-access.ts';
import { KeysRefusal } from '../../src/keys/keys-error.ts';
import type { ManifestDomain, ManifestKey } from '../../src/keys/manifest.ts';

export interface CreateKeysRequest {
  /** A-labels, lower case; see `toSigningDomain`. */
  readonly domain: string;
  /** One key is made for each. */
  readonly algorithms: readonly KeyAlgorithm[];
  /** Does it sign for its subdomains? undefined: as it stands, and no for a new domain. */
  readonly subdomains: boolean | undefined;
  /** TTL of the key records in seconds. */
  readonly ttlS: number;
}

/**
 * Makes keys in state `created`, without journal and lease, for tests of what comes after. Makes the
 * master key too if there is none and nothing was encrypted yet.
 *
 * @throws KeysError, KeysRefusal `key-name-too-long`
 */
export async function createKeys(
  access: KeyringAccess,
  request: CreateKeysRequest,
): Promise<AddedKeys> {
  return await access.store.change(async (current) => {
    const backend = await access.connect('file', 'make-if-first');
    const before = domainEntry(current, request.domain);
    const added: ManifestKey[] = [];
    for (const algorithm of request.algorithms) {
      added.push(await createKey(access, backend, request, algorithm, [...before.keys, ...added]));
    }
    const domain: ManifestDomain = {
      domain: request.domain,
      subdomains: request.subdomains ?? before.subdomains,
      keys: [...before.keys, ...added],
    };
    return { domain, result: { domain, added, warnings: backend.warnings } };
  });
}

async function createKey(
  access: KeyringAccess,
  backend: KeyBackend,
  request: CreateKeysRequest,
  algorithm: KeyAlgorithm,
  others: readonly ManifestKey[],
): Promise<ManifestKey> {
  const { domain, ttlS } = request;
  const taken = new Set(others.map((key) => key.selector));
  const now = access.clock.wallMs();
  let selector: string;
  for (;;) {
    selector = datedSelector(now, algorithm.selectorLetter, (name) => taken.has(name));
    // A run that was killed may have left a private key that no manifest lists.
    if (!(await backend.holds({ domain, selector }))) break;
    taken.add(selector);
  }
  if (!fitsInDns(selector, domain)) {
    const message = `${selector}._domainkey.${domain} is too long for DNS`;
    throw new KeysRefusal('key-name-too-long', message);
  }
  const intent = randomUUID();
  const kept = await backend.create({ domain, selector, algorithm: algorithm.name }, intent);
  return {
    selector,
    algorithm: algorithm.name,
    backend: 'file',
    state: 'created',
    publicKey: algorithm.recordOctets(kept.publicKey).toString('base64'),
    ttlS,
    createdAt: new Date(now).toISOString(),
    activatedAt: undefined,
    retiringSince: undefined,
    intent,
    material: kept.material,
  };
}
