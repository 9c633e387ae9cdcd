import type {
  DataKeyPairSpec,
  KeySpec,
  MessageType,
  SigningAlgorithmSpec,
} from '@aws-sdk/client-kms';
import type { QuotaFamily } from './kms-operation.ts';

/** One row: a key algorithm in KMS's terms. */
export interface KmsKeySpec {
  readonly keySpec: KeySpec & DataKeyPairSpec;
  readonly signingAlgorithm: SigningAlgorithmSpec;
  /**
   * How the SHA-256 of the header fields is handed over. RSA: as a ready digest. Ed25519: as the
   * message itself (RFC 8463 section 3, PureEdDSA over the hash); never the pre-hashed variant.
   */
  readonly messageType: MessageType;
  readonly signFamily: QuotaFamily;
  readonly pairFamily: QuotaFamily;
}

const RSA = {
  signingAlgorithm: 'RSASSA_PKCS1_V1_5_SHA_256',
  messageType: 'DIGEST',
  signFamily: 'sign-rsa',
} as const;

const SPECS: Readonly<Record<string, KmsKeySpec>> = {
  rsa2048: { ...RSA, keySpec: 'RSA_2048', pairFamily: 'pair-rsa2048' },
  rsa3072: { ...RSA, keySpec: 'RSA_3072', pairFamily: 'pair-rsa3072' },
  rsa4096: { ...RSA, keySpec: 'RSA_4096', pairFamily: 'pair-rsa4096' },
  ed25519: {
    keySpec: 'ECC_NIST_EDWARDS25519',
    signingAlgorithm: 'ED25519_SHA_512',
    messageType: 'RAW',
    signFamily: 'sign-ecc',
    pairFamily: 'pair-ed25519',
  },
};

/** @param algorithm name of a row of `key-algorithm.ts`; undefined: KMS makes no such keys */
export function kmsKeySpec(algorithm: string): KmsKeySpec | undefined {
  return Object.hasOwn(SPECS, algorithm) ? SPECS[algorithm] : undefined;
}
