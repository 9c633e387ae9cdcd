import { createHash, type KeyObject } from 'node:crypto';
import type { Signer, Substitute } from '../../mail/signer.ts';
import type { KeyAlgorithm } from '../key-algorithm.ts';
import { SigningError } from '../keys-error.ts';
import type { Kms } from './kms.ts';
import { KmsError } from './kms-fault.ts';
import type { KmsKeySpec } from './kms-key-spec.ts';

/** A signature was not had from KMS; says which other key may be used instead. */
export class KmsSigningError extends SigningError {
  readonly substitute: Substitute | undefined;

  /** @param suspicion what the key had to be left alone for, if it did not sign since */
  constructor(error: KmsError, suspicion: KmsError | undefined) {
    super(error.message, { cause: error });
    // A key that was disabled is that too while KMS is down, or has no turn for us.
    this.substitute = (suspicion ?? error).row.substitute;
  }
}

/** A private key that never leaves KMS. */
export interface KmsSigningKey {
  /** For the operator: domain and selector. */
  readonly name: string;
  readonly arn: string;
  /** Where it is, the best first. */
  readonly regions: readonly string[];
  readonly algorithm: KeyAlgorithm;
  readonly spec: KmsKeySpec;
  /** From the manifest: what every signature has to verify against. */
  readonly publicKey: KeyObject;
}

/** A signer that sends the SHA-256 of the header fields to KMS, and believes no answer unseen. */
export function kmsSigner(kms: Kms, key: KmsSigningKey): Signer {
  return {
    algorithm: key.algorithm.dkim,
    remote: true,
    get trouble() {
      return kms.holds.suspicion(key.arn)?.message;
    },
    sign: async (octets, signal) => {
      const held = kms.holds.against(key.arn);
      if (held !== undefined) throw new KmsSigningError(held, held);
      try {
        const signature = await signWith(kms, key, octets, signal);
        kms.holds.succeeded(key.arn, key.name);
        return signature;
      } catch (error) {
        if (!(error instanceof KmsError)) throw error;
        if (error.row.holdsKey) kms.holds.failed(key.arn, key.name, error);
        throw new KmsSigningError(error, kms.holds.suspicion(key.arn));
      }
    },
  };
}

async function signWith(
  kms: Kms,
  { name, arn, regions, algorithm, spec, publicKey }: KmsSigningKey,
  octets: Buffer,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const hash = createHash('sha256').update(octets).digest();
  const { Signature, $metadata } = await kms.caller.call({
    operation: 'Sign',
    family: spec.signFamily,
    regions,
    signal,
    input: (region) => ({
      KeyId: kms.arnIn(arn, region),
      Message: hash,
      MessageType: spec.messageType,
      SigningAlgorithm: spec.signingAlgorithm,
    }),
  });
  const signature = Buffer.from(Signature ?? []);
  if (await algorithm.verify(octets, publicKey, signature)) return signature;
  const message = `KMS gave a signature that does not verify against the public key of ${name}`;
  throw new KmsError('wrong-signature', message, { requestId: $metadata.requestId });
}
