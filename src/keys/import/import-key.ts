import type { BackendName } from '../backend-names.ts';
import { readBoundedFile } from '../bounded-file.ts';
import type { KeyringAccess } from '../keyring-access.ts';
import { KeysError, systemReason } from '../keys-error.ts';
import { MAX_PEM_BYTES } from '../read-pem.ts';
import { type KeySource, privateKeyFrom, privateKeySource } from './key-source.ts';
import { type AddedKeys, takeOver } from './take-over.ts';

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
 * Takes over a private key from a PEM file into the back end `file`, in state `created`: it signs
 * nothing until it is activated. Makes the master key too if there is none and nothing was
 * encrypted yet.
 *
 * @throws KeysError, KeysRefusal `key-format`, `key-algorithm`, `key-selector-taken`,
 *   `key-already-there`, `key-name-too-long`
 */
export async function importKey(
  access: KeyringAccess,
  request: ImportKeyRequest,
): Promise<AddedKeys> {
  const source = await pemFileSource(request.pemFile, 'file');
  return await takeOver(access, source, request, { state: 'created' });
}

/**
 * The private key of a PEM file.
 *
 * @throws KeysError `key-unreadable`, KeysRefusal `key-format`, `key-algorithm`
 */
export async function pemFileSource(file: string, backend: BackendName): Promise<KeySource> {
  let content: Awaited<ReturnType<typeof readBoundedFile>>;
  try {
    content = await readBoundedFile(file, MAX_PEM_BYTES);
  } catch (error) {
    throw new KeysError('key-unreadable', `${file} ${systemReason(error)}`, { cause: error });
  }
  const octets = content === 'too-large' ? content : content.octets;
  return privateKeySource(privateKeyFrom(octets, file), file, backend);
}
