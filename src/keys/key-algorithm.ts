import {
  createHash,
  createPublicKey,
  sign as cryptoSign,
  verify as cryptoVerify,
  generateKeyPair,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { DkimAlgorithm } from '../mail/signer.ts';

const generatePair = promisify(generateKeyPair);
const verifyAsync = promisify(cryptoVerify);

/** The value of `k=` in a key record (RFC 6376 section 3.6.1, RFC 8463 section 4). */
export type KeyFamily = 'rsa' | 'ed25519';

/** One row: all that is to be known about a key algorithm. Nothing else switches on its name. */
export interface KeyAlgorithm {
  /** Name in manifests and on the command line: `rsa2048`, `ed25519`. */
  readonly name: string;
  readonly family: KeyFamily;
  /** The value of `a=` in a signature. */
  readonly dkim: DkimAlgorithm;
  /** Stands for the family in dated selectors: `wx202611r1`. */
  readonly selectorLetter: string;
  /** Octets of a signature. */
  readonly signatureBytes: number;
  /** Why a key of this kind should be replaced; undefined when it is fine. */
  readonly weakness: string | undefined;
  /** True when `keys create` offers it; the others come in by `keys import` only. */
  readonly creatable: boolean;
  /** Makes a key pair, off the event loop. */
  generate(): Promise<{ publicKey: KeyObject; privateKey: KeyObject }>;
  /** The octets that stand, in base64, in `p=` of the key record. */
  recordOctets(publicKey: KeyObject): Buffer;
  /**
   * The reverse of `recordOctets`.
   *
   * @throws Error when the octets are no such key
   */
  publicKeyFrom(recordOctets: Buffer): KeyObject;
  /** Signs off the event loop (RSA; Ed25519 after one SHA-256 of the header fields). */
  sign(octets: Buffer, privateKey: KeyObject): Promise<Buffer>;
  /** Does a signature over these octets belong to this key? */
  verify(octets: Buffer, publicKey: KeyObject, signature: Buffer): Promise<boolean>;
}

/** RFC 8301 section 3.2: signers use at least 1024 bits and should use 2048; 4096 must verify. */
const MIN_RSA_BITS = 1024;
const GOOD_RSA_BITS = 2048;
const MAX_RSA_BITS = 4096;

/** SPKI of an Ed25519 key up to its 32 octets (RFC 8410 sections 3 and 4). */
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

function rsa(bits: number, creatable: boolean): KeyAlgorithm {
  return {
    name: `rsa${bits}`,
    family: 'rsa',
    dkim: 'rsa-sha256',
    selectorLetter: 'r',
    signatureBytes: Math.ceil(bits / 8),
    weakness:
      bits < GOOD_RSA_BITS
        ? `RSA with ${bits} bits is weak: use 2048 or more (RFC 8301 section 3.2)`
        : undefined,
    creatable,
    generate: () => generatePair('rsa', { modulusLength: bits }),
    recordOctets: (publicKey) => publicKey.export({ type: 'spki', format: 'der' }),
    publicKeyFrom: (octets) => createPublicKey({ key: octets, type: 'spki', format: 'der' }),
    sign: (octets, privateKey) => signAsync('sha256', octets, privateKey),
    // At once: with a short exponent it takes 25 to 85 µs, and to hand it to a thread and back 40 more.
    verify: async (octets, publicKey, signature) =>
      cryptoVerify('sha256', octets, publicKey, signature),
  };
}

const ed25519: KeyAlgorithm = {
  name: 'ed25519',
  family: 'ed25519',
  dkim: 'ed25519-sha256',
  selectorLetter: 'e',
  signatureBytes: 64,
  weakness: undefined,
  creatable: true,
  generate: () => generatePair('ed25519'),
  recordOctets: (publicKey) =>
    publicKey.export({ type: 'spki', format: 'der' }).subarray(ED25519_SPKI_PREFIX.length),
  publicKeyFrom: (octets) => {
    if (octets.length !== 32) throw new Error('an Ed25519 public key has 32 octets');
    const spki = Buffer.concat([ED25519_SPKI_PREFIX, octets]);
    return createPublicKey({ key: spki, type: 'spki', format: 'der' });
  },
  // RFC 8463 section 3: PureEdDSA over the SHA-256 of the header fields.
  sign: (octets, privateKey) => signAsync(null, sha256(octets), privateKey),
  verify: (octets, publicKey, signature) => verifyAsync(null, sha256(octets), publicKey, signature),
};

function sha256(octets: Buffer): Buffer {
  return createHash('sha256').update(octets).digest();
}

/** The algorithms that `keys create` offers, in the order in which help shows them. */
export const KEY_ALGORITHMS: readonly KeyAlgorithm[] = [
  rsa(2048, true),
  rsa(3072, true),
  rsa(4096, true),
  ed25519,
];

/** What a domain gets when nothing else is asked for: RSA for all verifiers, Ed25519 for new ones. */
export const DEFAULT_ALGORITHMS: readonly KeyAlgorithm[] = KEY_ALGORITHMS.filter((algorithm) =>
  ['rsa2048', 'ed25519'].includes(algorithm.name),
);

/** The row of a name in a manifest; RSA of any size from 1024 to 4096 bits may be imported. */
export function keyAlgorithmNamed(name: string): KeyAlgorithm | undefined {
  const row = KEY_ALGORITHMS.find((algorithm) => algorithm.name === name);
  if (row !== undefined) return row;
  const bits = /^rsa([1-9]\d{3})$/.exec(name)?.[1];
  return bits === undefined ? undefined : importedRsa(Number(bits));
}

/**
 * The family of a key in a manifest.
 *
 * @throws RangeError where nobody read the manifest: it is refused there
 */
export function familyOf({ algorithm }: { readonly algorithm: string }): KeyFamily {
  const row = keyAlgorithmNamed(algorithm);
  if (row === undefined) throw new RangeError(`no such algorithm: ${algorithm}`);
  return row.family;
}

/** The row that a key belongs to, public or private; or why DKIM cannot use it. */
export function keyAlgorithmOf(key: KeyObject): KeyAlgorithm | { readonly refusal: string } {
  if (key.asymmetricKeyType === 'ed25519') return ed25519;
  if (key.asymmetricKeyType !== 'rsa') {
    const type = key.asymmetricKeyType ?? 'secret';
    return { refusal: `a key of type ${type}; DKIM knows RSA and Ed25519 only (RFC 8463)` };
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < MIN_RSA_BITS) {
    return {
      refusal: `an RSA key of ${bits} bits; below 1024 no verifier may accept it (RFC 8301)`,
    };
  }
  if (bits > MAX_RSA_BITS) {
    return { refusal: `an RSA key of ${bits} bits; verifiers need not take more than 4096` };
  }
  return KEY_ALGORITHMS.find((row) => row.name === `rsa${bits}`) ?? rsa(bits, false);
}

function importedRsa(bits: number): KeyAlgorithm | undefined {
  return bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS ? rsa(bits, false) : undefined;
}

/** `crypto.sign` with a callback runs in the thread pool. */
function signAsync(hash: string | null, octets: Buffer, key: KeyObject): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    cryptoSign(hash, octets, key, (error, signature) => {
      if (error === null) resolve(signature);
      else reject(error);
    });
  });
}
