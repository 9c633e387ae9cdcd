import { createPublicKey, type KeyObject } from 'node:crypto';
import { printable } from '../../base/printable.ts';
import { type KeyAlgorithm, keyAlgorithmNamed, keyAlgorithmOf } from '../key-algorithm.ts';
import { KeysRefusal } from '../keys-error.ts';

/**
 * What AWS KMS says of a key, from DescribeKey and GetPublicKey:
 * https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html
 */
export interface DescribedKmsKey {
  readonly arn: string;
  /** `KeySpec`: `RSA_2048`, `ECC_NIST_EDWARDS25519`, … */
  readonly spec: string;
  /** `KeyUsage`: `SIGN_VERIFY`, `ENCRYPT_DECRYPT`, … */
  readonly usage: string;
  /** `KeyState`: `Enabled`, `Disabled`, `PendingDeletion`, … */
  readonly state: string;
  readonly region: string;
  /** Where a multi-Region key lives, the primary first; undefined or one: in its Region only. */
  readonly regions?: readonly string[];
  /** SPKI in DER, as GetPublicKey gives it. */
  readonly publicKeySpki: Buffer;
}

/** Describes a key; its errors are the KMS client's, translated. */
export type DescribeKmsKey = (arn: string) => Promise<DescribedKmsKey>;

/** Parts of a key's ARN. */
export interface KmsKeyArn {
  readonly region: string;
  readonly account: string;
  /** Also that of replicas, when it begins with `mrk-`. */
  readonly keyId: string;
}

/** Key specs that DKIM can use, with the name of their algorithm row. */
const ALGORITHMS: ReadonlyMap<string, string> = new Map([
  ['RSA_2048', 'rsa2048'],
  ['RSA_3072', 'rsa3072'],
  ['RSA_4096', 'rsa4096'],
  ['ECC_NIST_EDWARDS25519', 'ed25519'],
]);

/** What helps against states that cannot sign. */
const STATE_HINTS: ReadonlyMap<string, string> = new Map([
  ['Disabled', 'enable it (kms:EnableKey), or choose another key'],
  [
    'PendingDeletion',
    'cancel its deletion (kms:CancelKeyDeletion) and enable it, or choose another key',
  ],
  ['Creating', 'try again in a minute'],
  ['Updating', 'try again in a minute'],
  ['PendingImport', 'import its key material first'],
  ['Unavailable', 'its custom key store is not connected'],
]);

const ARN =
  /^arn:aws[a-z-]*:kms:([a-z0-9-]+):(\d{12}):key\/((?:mrk-)?[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12})$/;

/**
 * Takes a key's ARN apart.
 *
 * @throws KeysRefusal `key-arn` for anything else; an alias too, since it can be pointed elsewhere
 */
export function parseKmsKeyArn(text: string): KmsKeyArn {
  const [, region, account, keyId] = ARN.exec(text) ?? [];
  if (region !== undefined && account !== undefined && keyId !== undefined) {
    return { region, account, keyId };
  }
  const isAlias = /^arn:aws[a-z-]*:kms:.*:alias\//.test(text) || text.startsWith('alias/');
  const what = isAlias ? 'an alias, which can be pointed to another key' : 'no ARN of a KMS key';
  throw new KeysRefusal('key-arn', `"${printable(text, 200)}" is ${what}`, {
    hint: 'give the ARN of the key itself: arn:aws:kms:REGION:ACCOUNT:key/ID ("aws kms describe-key" shows it)',
  });
}

/** A key of KMS that was found fit to sign with. */
export interface CheckedKmsKey {
  readonly algorithm: KeyAlgorithm;
  readonly publicKey: KeyObject;
}

/**
 * Checks spec, usage, state and Region.
 *
 * @param regions where relays may ask; empty: any
 * @throws KeysRefusal `key-spec`, `key-usage`, `key-state`, `key-region`, `key-mismatch`
 */
export function checkKmsKey(key: DescribedKmsKey, regions: readonly string[]): CheckedKmsKey {
  const { region } = parseKmsKeyArn(key.arn);
  const name = key.arn;
  if (key.usage !== 'SIGN_VERIFY') {
    throw new KeysRefusal(
      'key-usage',
      `${name} is for ${printable(key.usage, 40)}, not for signing`,
      {
        hint: 'a key for DKIM is made with KeyUsage SIGN_VERIFY; usage cannot be changed',
      },
    );
  }
  const algorithm = keyAlgorithmNamed(ALGORITHMS.get(key.spec) ?? '');
  if (algorithm === undefined) {
    const message = `${name} is of the spec ${printable(key.spec, 40)}, which DKIM cannot use`;
    throw new KeysRefusal('key-spec', message, {
      hint: `one of ${[...ALGORITHMS.keys()].join(', ')}`,
    });
  }
  if (key.state !== 'Enabled') {
    const hint = STATE_HINTS.get(key.state) ?? 'it must be Enabled';
    throw new KeysRefusal('key-state', `${name} is ${printable(key.state, 40)}`, { hint });
  }
  if (region !== key.region || (regions.length > 0 && !regions.includes(region))) {
    const asked = regions.length > 0 ? regions.join(', ') : key.region;
    throw new KeysRefusal('key-region', `${name} is in ${region}; relays ask in ${asked}`, {
      hint: 'add its Region to the configuration (kms), or replicate the key if it is a multi-Region key',
    });
  }
  return { algorithm, publicKey: publicKeyOf(key, algorithm) };
}

function publicKeyOf(key: DescribedKmsKey, algorithm: KeyAlgorithm): KeyObject {
  try {
    const publicKey = createPublicKey({ key: key.publicKeySpki, type: 'spki', format: 'der' });
    const found = keyAlgorithmOf(publicKey);
    if (!('refusal' in found) && found.name === algorithm.name) return publicKey;
  } catch {
    // Told below: the octets say nothing of use.
  }
  const message = `${key.arn}: the public key that KMS gives is not of the spec ${key.spec}`;
  throw new KeysRefusal('key-mismatch', message, {
    hint: 'this should not be; nothing was imported',
  });
}
