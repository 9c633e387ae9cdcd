import { createPublicKey, type KeyObject } from 'node:crypto';
import { readBoundedFile } from './bounded-file.ts';
import { type AddedKeys, domainEntry } from './create-keys.ts';
import { type KeyAlgorithm, keyAlgorithmOf } from './key-algorithm.ts';
import { fitsInDns } from './key-name.ts';
import type { KeyringAccess } from './keyring-access.ts';
import { KeysError, KeysRefusal, systemReason } from './keys-error.ts';
import type { ManifestDomain, ManifestKey } from './manifest.ts';
import { probeSigner } from './probe-signer.ts';
import { MAX_PEM_BYTES, readPemKey } from './read-pem.ts';

export interface ImportKeyRequest {
  /** A-labels, lower case; see `toSigningDomain`. */
  readonly domain: string;
  /** The selector under which its record stands, or will stand. */
  readonly selector: string;
  /** Path of the PEM file. It is read and never changed. */
  readonly pemFile: string;
  /** Does the domain sign for its subdomains? undefined: as it stands, and no for a new domain. */
  readonly subdomains: boolean | undefined;
  /** TTL of the key record in seconds. */
  readonly ttlS: number;
}

/**
 * Takes over a private key from a PEM file, in state `created`: it signs nothing until it is
 * activated. Makes the master key too if there is none and nothing was encrypted yet.
 *
 * @throws KeysError, KeysRefusal `key-format`, `key-algorithm`, `key-selector-taken`,
 *   `key-already-there`, `key-name-too-long`
 */
export async function importKey(
  access: KeyringAccess,
  request: ImportKeyRequest,
): Promise<AddedKeys> {
  const { domain: name, selector } = request;
  if (!fitsInDns(selector, name)) {
    const message = `${selector}._domainkey.${name} is too long for DNS`;
    throw new KeysRefusal('key-name-too-long', message);
  }
  const privateKey = await readKeyFile(request.pemFile);
  const algorithm = usableAlgorithm(privateKey, request.pemFile);
  const publicKey = algorithm.recordOctets(createPublicKey(privateKey)).toString('base64');
  return await access.store.change(async (current) => {
    const before = domainEntry(current, name);
    refuseKnown(before, selector, publicKey);
    const backend = await access.connect('file', 'make-if-first');
    const identity = { domain: name, selector, algorithm: algorithm.name };
    await backend.keep(identity, privateKey);
    await probeSigner(backend, { ...identity, publicKey });
    const added: ManifestKey = {
      selector,
      algorithm: algorithm.name,
      backend: 'file',
      state: 'created',
      publicKey,
      ttlS: request.ttlS,
      createdAt: new Date(access.clock.wallMs()).toISOString(),
      activatedAt: undefined,
      retiringSince: undefined,
    };
    const domain: ManifestDomain = {
      domain: name,
      subdomains: request.subdomains ?? before.subdomains,
      keys: [...before.keys, added],
    };
    const weakness = algorithm.weakness === undefined ? [] : [algorithm.weakness];
    const warnings = [...backend.warnings, ...weakness];
    return { domain, result: { domain, added: [added], warnings } };
  });
}

async function readKeyFile(file: string): Promise<KeyObject> {
  let content: Awaited<ReturnType<typeof readBoundedFile>>;
  try {
    content = await readBoundedFile(file, MAX_PEM_BYTES);
  } catch (error) {
    throw new KeysError('key-unreadable', `${file} ${systemReason(error)}`, { cause: error });
  }
  if (content === 'too-large') {
    throw new KeysRefusal('key-format', `${file} is too large for a private key`);
  }
  try {
    return readPemKey(content.octets, file);
  } finally {
    content.octets.fill(0);
  }
}

function usableAlgorithm(privateKey: KeyObject, file: string): KeyAlgorithm {
  const algorithm = keyAlgorithmOf(privateKey);
  if (!('refusal' in algorithm)) return algorithm;
  throw new KeysRefusal('key-algorithm', `${file} holds ${algorithm.refusal}`, {
    hint: 'make a new key with "waxseal keys create"',
  });
}

function refuseKnown(entry: ManifestDomain, selector: string, publicKey: string): void {
  const named = entry.keys.find((key) => key.selector === selector);
  if (named !== undefined) {
    const message = `${entry.domain} has a key with selector ${selector} already (${named.state})`;
    throw new KeysRefusal('key-selector-taken', message, {
      hint: 'a selector is never used twice; choose another one',
    });
  }
  const same = entry.keys.find((key) => key.publicKey === publicKey);
  if (same !== undefined) {
    const message = `${entry.domain} has this very key already, as selector ${same.selector}`;
    throw new KeysRefusal('key-already-there', message);
  }
}
