import type { Kms } from './kms.ts';
import { parseKmsArn } from './kms-arn.ts';
import { KmsError } from './kms-fault.ts';
import { describeKmsKey, type KmsKeyFacts, kmsPublicKey } from './kms-keys.ts';

/** What an import has to know of a key that somebody made in KMS. */
export interface KmsKeyForImport extends KmsKeyFacts {
  /** SPKI in DER; empty unless the key is enabled, since KMS shows it of no other. */
  readonly publicKeySpki: Buffer;
}

/**
 * DescribeKey and GetPublicKey, in the Region that the ARN names.
 *
 * @throws KmsError `kms-not-found` and others
 */
export async function describeForImport(kms: Kms, arn: string): Promise<KmsKeyForImport> {
  const region = parseKmsArn(arn)?.region;
  const facts = region === undefined ? undefined : await describeKmsKey(kms, arn, region);
  if (region === undefined || facts === undefined) {
    throw new KmsError('not-found', `KMS has no key ${arn}`);
  }
  const isShown = facts.state === 'Enabled' && facts.usage === 'SIGN_VERIFY';
  const publicKeySpki = isShown ? await kmsPublicKey(kms, arn, region) : Buffer.alloc(0);
  return { ...facts, publicKeySpki };
}
