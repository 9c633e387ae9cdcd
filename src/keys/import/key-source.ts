import { createPublicKey, type KeyObject } from 'node:crypto';
import type { KeyBackend } from '../backend.ts';
import type { BackendName } from '../backend-names.ts';
import { type KeyAlgorithm, keyAlgorithmOf } from '../key-algorithm.ts';
import { KeysRefusal } from '../keys-error.ts';
import type { KeyMaterial } from '../manifest.ts';
import { MAX_PEM_BYTES, readPemKey } from '../read-pem.ts';
import type { KeyIdentity } from '../sealed-key.ts';

/** A key that can be taken over: what is known of it, and how it gets to its back end. */
export interface KeySource {
  /** Where it comes from, for messages: a path, a line of a table, an ARN. */
  readonly origin: string;
  readonly backend: BackendName;
  readonly algorithm: KeyAlgorithm;
  /** The value of `p=`. */
  readonly publicKey: string;
  /** Lets the back end keep it; again is no error. */
  keep(backend: KeyBackend, identity: KeyIdentity): Promise<KeyMaterial | undefined>;
}

/**
 * A source over a private key in memory.
 *
 * @throws KeysRefusal `key-algorithm`
 */
export function privateKeySource(
  privateKey: KeyObject,
  origin: string,
  backend: BackendName,
): KeySource {
  const algorithm = keyAlgorithmOf(privateKey);
  if ('refusal' in algorithm) {
    throw new KeysRefusal('key-algorithm', `${origin} holds ${algorithm.refusal}`, {
      hint: 'make a new key with "waxseal keys create"',
    });
  }
  return {
    origin,
    backend,
    algorithm,
    publicKey: algorithm.recordOctets(createPublicKey(privateKey)).toString('base64'),
    keep: async (connected, identity) => (await connected.keep(identity, privateKey)).material,
  };
}

/**
 * Parses the content of a private key's file and overwrites it.
 *
 * @throws KeysRefusal `key-format`
 */
export function privateKeyFrom(content: Buffer | 'too-large', origin: string): KeyObject {
  if (content === 'too-large') {
    const message = `${origin} is too large for a private key (${MAX_PEM_BYTES} octets)`;
    throw new KeysRefusal('key-format', message);
  }
  try {
    return readPemKey(content, origin);
  } finally {
    content.fill(0);
  }
}
