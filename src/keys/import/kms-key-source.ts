import type { BackendName } from '../backend-names.ts';
import type { KeyMaterial } from '../manifest.ts';
import type { KeySource } from './key-source.ts';
import { checkKmsKey, type DescribeKmsKey, parseKmsKeyArn } from './kms-key-facts.ts';

/**
 * A key that is in KMS and stays there. Nothing is handed to the back end: the manifest names the
 * ARN, and the probe of the import shows that it can sign.
 *
 * @param backend the one that signs by KMS
 * @param regions where relays may ask; empty: any
 * @throws KeysRefusal as `parseKmsKeyArn` and `checkKmsKey`, and what the client of KMS throws
 */
export async function kmsKeySource(
  arn: string,
  backend: BackendName,
  describe: DescribeKmsKey,
  regions: readonly string[],
): Promise<KeySource> {
  parseKmsKeyArn(arn); // before anything is asked
  const described = await describe(arn);
  const { algorithm, publicKey } = checkKmsKey(described, regions);
  const replicas = described.regions ?? [];
  const material: KeyMaterial =
    replicas.length > 1
      ? { arn: described.arn, regions: replicas.join(',') }
      : { arn: described.arn };
  return {
    origin: arn,
    backend,
    algorithm,
    publicKey: algorithm.recordOctets(publicKey).toString('base64'),
    keep: async () => material,
  };
}
