import type * as Sdk from '@aws-sdk/client-kms';

/** The operations of KMS that Waxseal uses, with their inputs and outputs. */
export interface KmsShapes {
  CancelKeyDeletion: [Sdk.CancelKeyDeletionCommandInput, Sdk.CancelKeyDeletionCommandOutput];
  CreateKey: [Sdk.CreateKeyCommandInput, Sdk.CreateKeyCommandOutput];
  Decrypt: [Sdk.DecryptCommandInput, Sdk.DecryptCommandOutput];
  DescribeKey: [Sdk.DescribeKeyCommandInput, Sdk.DescribeKeyCommandOutput];
  DisableKey: [Sdk.DisableKeyCommandInput, Sdk.DisableKeyCommandOutput];
  EnableKey: [Sdk.EnableKeyCommandInput, Sdk.EnableKeyCommandOutput];
  Encrypt: [Sdk.EncryptCommandInput, Sdk.EncryptCommandOutput];
  GenerateDataKeyPairWithoutPlaintext: [
    Sdk.GenerateDataKeyPairWithoutPlaintextCommandInput,
    Sdk.GenerateDataKeyPairWithoutPlaintextCommandOutput,
  ];
  GetPublicKey: [Sdk.GetPublicKeyCommandInput, Sdk.GetPublicKeyCommandOutput];
  ListKeys: [Sdk.ListKeysCommandInput, Sdk.ListKeysCommandOutput];
  ListResourceTags: [Sdk.ListResourceTagsCommandInput, Sdk.ListResourceTagsCommandOutput];
  ReplicateKey: [Sdk.ReplicateKeyCommandInput, Sdk.ReplicateKeyCommandOutput];
  ScheduleKeyDeletion: [Sdk.ScheduleKeyDeletionCommandInput, Sdk.ScheduleKeyDeletionCommandOutput];
  Sign: [Sdk.SignCommandInput, Sdk.SignCommandOutput];
}

export type KmsOperation = keyof KmsShapes;
export type KmsInput<Name extends KmsOperation> = KmsShapes[Name][0];
export type KmsOutput<Name extends KmsOperation> = KmsShapes[Name][1];

/** A group of operations that share one request quota. */
export type QuotaFamily =
  | Exclude<KmsOperation, 'Sign' | 'Decrypt' | 'Encrypt' | 'GenerateDataKeyPairWithoutPlaintext'>
  | 'sign-rsa'
  | 'sign-ecc'
  | 'symmetric'
  | 'pair-rsa2048'
  | 'pair-rsa3072'
  | 'pair-rsa4096'
  | 'pair-ed25519';

/**
 * AWS's default request quotas by second, for each account and Region:
 * https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html. The lowest where
 * Regions differ; those of Sign can be configured, as AWS raises them on demand.
 */
export const DEFAULT_QUOTAS: Readonly<Record<QuotaFamily, number>> = {
  'sign-rsa': 1000,
  'sign-ecc': 1000,
  symmetric: 5500,
  'pair-rsa2048': 20,
  'pair-rsa3072': 4,
  'pair-rsa4096': 1,
  'pair-ed25519': 100,
  CancelKeyDeletion: 5,
  CreateKey: 5,
  DescribeKey: 2000,
  DisableKey: 5,
  EnableKey: 5,
  GetPublicKey: 2000,
  ListKeys: 500,
  ListResourceTags: 2000,
  ReplicateKey: 5,
  ScheduleKeyDeletion: 15,
};

/** One row: what is to be known of an operation. */
export interface KmsOperationRow {
  /**
   * Counts for `kms.budget`. What takes a key out of use never does: an emergency must not fail
   * because too much was signed.
   */
  readonly budgeted: boolean;
  /** May be sent again when nobody knows whether it was carried out. */
  readonly repeatable: boolean;
  /** Takes a key out of use. Never done to the wrapping key. */
  readonly endsKey: boolean;
}

const USE: KmsOperationRow = { budgeted: true, repeatable: true, endsKey: false };
const MANAGE: KmsOperationRow = { budgeted: false, repeatable: true, endsKey: false };
const END: KmsOperationRow = { budgeted: false, repeatable: true, endsKey: true };

export const KMS_OPERATIONS: Readonly<Record<KmsOperation, KmsOperationRow>> = {
  CancelKeyDeletion: MANAGE,
  // It has no token that would make it idempotent: see `kms-intents.ts`.
  CreateKey: { ...MANAGE, repeatable: false },
  Decrypt: USE,
  DescribeKey: MANAGE,
  DisableKey: END,
  EnableKey: MANAGE,
  Encrypt: USE,
  GenerateDataKeyPairWithoutPlaintext: USE,
  GetPublicKey: MANAGE,
  ListKeys: MANAGE,
  ListResourceTags: MANAGE,
  ReplicateKey: MANAGE,
  ScheduleKeyDeletion: END,
  Sign: USE,
};
