import { KeysRefusal } from '../keys-error.ts';
import { describeForImport } from '../kms/describe-for-import.ts';
import type { Kms } from '../kms/kms.ts';
import { KmsError } from '../kms/kms-fault.ts';
import { type DescribedKmsKey, parseKmsKeyArn } from './kms-key-facts.ts';

/**
 * Asks AWS KMS for what an import checks.
 *
 * @throws KmsError; KeysRefusal `key-arn` also where KMS knows of no such key
 */
export async function describeKmsKeyForImport(kms: Kms, arn: string): Promise<DescribedKmsKey> {
  const { region } = parseKmsKeyArn(arn);
  try {
    return { ...(await describeForImport(kms, arn)), region };
  } catch (error) {
    if (!(error instanceof KmsError && error.kind === 'not-found')) throw error;
    throw new KeysRefusal('key-arn', `there is no KMS key ${arn}`, {
      hint: 'or this role may not know of it: it needs kms:DescribeKey and kms:GetPublicKey',
      cause: error,
    });
  }
}
