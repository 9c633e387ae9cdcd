import type { BackendOptions } from '../backend.ts';
import { type KeyAlgorithm, keyAlgorithmNamed } from '../key-algorithm.ts';
import { KeysError, KeysRefusal } from '../keys-error.ts';
import type { KeyIdentity } from '../sealed-key.ts';
import type { Kms } from './kms.ts';
import { type KmsKeySpec, kmsKeySpec } from './kms-key-spec.ts';

/** How a key's algorithm is made and used, here and in KMS. */
export interface KmsAlgorithm {
  readonly algorithm: KeyAlgorithm;
  readonly spec: KmsKeySpec;
}

/** @returns undefined when KMS has no such keys */
export function kmsAlgorithmOf({
  algorithm: name,
}: Pick<KeyIdentity, 'algorithm'>): KmsAlgorithm | undefined {
  const algorithm = keyAlgorithmNamed(name);
  const spec = kmsKeySpec(name);
  return algorithm === undefined || spec === undefined ? undefined : { algorithm, spec };
}

/** @throws KeysRefusal `key-algorithm` */
export function creatableAlgorithm(identity: KeyIdentity): KmsAlgorithm {
  const found = kmsAlgorithmOf(identity);
  if (found !== undefined) return found;
  throw new KeysRefusal('key-algorithm', `KMS makes no keys of ${identity.algorithm}`, {
    hint: 'it knows rsa2048, rsa3072, rsa4096 and ed25519',
  });
}

/** A key's name for the operator. */
export function keyName({ domain, selector }: Pick<KeyIdentity, 'domain' | 'selector'>): string {
  return `${domain}, selector ${selector}`;
}

/** @throws KeysError when this process was not given KMS */
export function kmsOf({ kms }: Pick<BackendOptions, 'kms'>): Kms {
  if (kms !== undefined) return kms;
  throw new KeysError('key-unusable', 'keys in KMS cannot be used by this command');
}
