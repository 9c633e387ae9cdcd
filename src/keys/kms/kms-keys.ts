import type { KeyMetadata } from '@aws-sdk/client-kms';
import { KeysError } from '../keys-error.ts';
import type { Kms } from './kms.ts';
import { KmsError } from './kms-fault.ts';
import { waitMs } from './wait.ts';

/** What KMS says of a key in one Region. */
export interface KmsKeyFacts {
  readonly arn: string;
  readonly region: string;
  /** E.g. `RSA_2048`. */
  readonly spec: string;
  /** E.g. `SIGN_VERIFY`. */
  readonly usage: string;
  /** https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html */
  readonly state: string;
  /** As it was made with. */
  readonly description: string;
  readonly multiRegion: boolean;
  /** Where it lives: the primary first; one Region for a key that is not multi-Region. */
  readonly regions: readonly string[];
  /** UTC, ISO 8601. */
  readonly createdAt: string | undefined;
  /** UTC, ISO 8601; when a scheduled deletion becomes final. */
  readonly deletionAt: string | undefined;
}

/** Pauses between looks at what KMS has not caught up with yet. */
const POLLS_MS = [0, 500, 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000];

/**
 * @param region where to ask; the key's own Region, or one with a replica
 * @returns undefined when there is no such key (any more)
 * @throws KmsError
 */
export async function describeKmsKey(
  kms: Kms,
  arn: string,
  region: string,
): Promise<KmsKeyFacts | undefined> {
  try {
    const { KeyMetadata } = await kms.caller.call({
      operation: 'DescribeKey',
      family: 'DescribeKey',
      regions: [region],
      input: () => ({ KeyId: kms.arnIn(arn, region) }),
    });
    return KeyMetadata === undefined ? undefined : factsOf(KeyMetadata, region);
  } catch (error) {
    if (error instanceof KmsError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

/**
 * Waits until a key that was just made can be seen and used (eventual consistency, replicas that
 * are being made).
 *
 * @throws KmsError, KeysError `key-unusable`
 */
export async function enabledKmsKey(kms: Kms, arn: string, region: string): Promise<KmsKeyFacts> {
  let state = 'not there';
  for (const pauseMs of POLLS_MS) {
    await waitMs(kms.clock, pauseMs, undefined);
    const facts = await describeKmsKey(kms, arn, region);
    if (facts?.state === 'Enabled') return facts;
    state = facts?.state ?? 'not there';
    if (facts !== undefined && facts.state !== 'Creating') break;
  }
  throw new KeysError('key-unusable', `the KMS key ${kms.arnIn(arn, region)} is ${state}`);
}

/**
 * The public half, as SPKI (DER). KMS gives none for a key that is disabled.
 *
 * @throws KmsError
 */
export async function kmsPublicKey(kms: Kms, arn: string, region: string): Promise<Buffer> {
  const { PublicKey } = await kms.caller.call({
    operation: 'GetPublicKey',
    family: 'GetPublicKey',
    regions: [region],
    input: () => ({ KeyId: kms.arnIn(arn, region) }),
  });
  return Buffer.from(PublicKey ?? []);
}

/** The same for a key that was just made: what answers may not have heard of it yet. @throws KmsError */
export async function newKmsPublicKey(kms: Kms, arn: string, region: string): Promise<Buffer> {
  let missing: KmsError | undefined;
  for (const pauseMs of POLLS_MS) {
    await waitMs(kms.clock, pauseMs, undefined);
    try {
      return await kmsPublicKey(kms, arn, region);
    } catch (error) {
      if (!(error instanceof KmsError) || error.kind !== 'not-found') throw error;
      missing = error;
    }
  }
  throw missing ?? new KmsError('not-found', `KMS has no key ${arn}`);
}

function factsOf(metadata: KeyMetadata, region: string): KmsKeyFacts {
  const { MultiRegionConfiguration: multi } = metadata;
  const primary = multi?.PrimaryKey?.Region ?? region;
  const replicas = (multi?.ReplicaKeys ?? []).flatMap(({ Region }) =>
    Region === undefined ? [] : [Region],
  );
  return {
    arn: metadata.Arn ?? '',
    region,
    spec: metadata.KeySpec ?? '',
    usage: metadata.KeyUsage ?? '',
    state: metadata.KeyState ?? '',
    description: metadata.Description ?? '',
    multiRegion: metadata.MultiRegion === true,
    regions: [primary, ...replicas],
    createdAt: metadata.CreationDate?.toISOString(),
    deletionAt: metadata.DeletionDate?.toISOString(),
  };
}
