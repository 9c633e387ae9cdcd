import { createPublicKey, KeyObject, randomBytes } from 'node:crypto';
import { ACCOUNT, type KmsAccount, type KmsKey } from './kms-account.ts';
import {
  decryptUnder,
  encryptUnder,
  keyIdOfCiphertext,
  newKeyId,
  PAIR_SPECS,
  signAs,
} from './kms-cryptography.ts';
import { invalid, KmsAnswerError } from './kms-error.ts';

/** The input of a call: JSON as the SDK wrote it. */
export type KmsInput = Readonly<Record<string, unknown>>;

/** What an operation works on. */
export interface KmsCallContext {
  readonly account: KmsAccount;
  readonly region: string;
  readonly input: KmsInput;
  /** The key that the call names; undefined where it names none. */
  readonly key: KmsKey | undefined;
}

/** One row: an operation of KMS. */
export interface KmsOperationRow {
  /** The family whose request quota it counts for. */
  readonly quota: (context: KmsCallContext) => string;
  /** Key states in which it works: https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html#key-state-table */
  readonly states: 'any' | 'enabled' | 'not-pending' | 'pending';
  readonly usage?: KmsKey['usage'];
  /** Takes DryRun: https://docs.aws.amazon.com/kms/latest/developerguide/testing-permissions.html */
  readonly dryRun?: boolean;
  readonly run: (context: KmsCallContext) => Record<string, unknown>;
}

const DAY_MS = 86_400_000;

export const KMS_OPERATIONS: Readonly<Record<string, KmsOperationRow>> = {
  // https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
  CreateKey: {
    quota: () => 'CreateKey',
    states: 'any',
    run: ({ account, region, input }) => {
      const spec = text(input, 'KeySpec', 'SYMMETRIC_DEFAULT');
      const usage = text(input, 'KeyUsage', 'ENCRYPT_DECRYPT') as KmsKey['usage'];
      const symmetric = spec === 'SYMMETRIC_DEFAULT';
      if (symmetric !== (usage === 'ENCRYPT_DECRYPT')) {
        throw invalid(`KeyUsage ${usage} is not compatible with KeySpec ${spec}`);
      }
      const make = PAIR_SPECS[spec];
      if (!symmetric && make === undefined) throw invalid(`KeySpec ${spec}`);
      const multiRegion = input.MultiRegion === true;
      const id = newKeyId(multiRegion);
      const now = account.clock.wallMs();
      const key: KmsKey = {
        id,
        arn: `arn:aws:kms:${region}:${ACCOUNT}:key/${id}`,
        region,
        spec,
        usage,
        material: make === undefined ? randomBytes(32) : make().privateKey,
        description: text(input, 'Description', ''),
        createdMs: now,
        role: multiRegion ? 'primary' : 'single',
        state: 'Enabled',
        enabledAtMs: now,
        tags: tagsOf(input),
        visibleAtMs: now + account.listDelayMs,
        pendingDays: 0,
        deletionMs: undefined,
      };
      account.add(key);
      return { KeyMetadata: metadata(account, key) };
    },
  },
  DescribeKey: {
    quota: () => 'DescribeKey',
    states: 'any',
    run: (context) => ({ KeyMetadata: metadata(context.account, keyOf(context)) }),
  },
  // It fails on a disabled key: https://docs.aws.amazon.com/kms/latest/APIReference/API_GetPublicKey.html#API_GetPublicKey_Errors
  GetPublicKey: {
    quota: () => 'GetPublicKey',
    states: 'enabled',
    run: (context) => {
      const key = keyOf(context);
      const rsa = key.spec.startsWith('RSA_');
      return {
        KeyId: key.arn,
        KeySpec: key.spec,
        KeyUsage: key.usage,
        PublicKey: publicDer(key),
        SigningAlgorithms: rsa ? ['RSASSA_PKCS1_V1_5_SHA_256'] : ['ED25519_SHA_512'],
      };
    },
  },
  // https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
  Sign: {
    quota: (context) => (keyOf(context).spec.startsWith('RSA_') ? 'sign RSA' : 'sign ECC'),
    states: 'enabled',
    usage: 'SIGN_VERIFY',
    dryRun: true,
    run: (context) => {
      const key = keyOf(context);
      const algorithm = text(context.input, 'SigningAlgorithm');
      const type = text(context.input, 'MessageType', 'RAW');
      const message = octets(context.input, 'Message');
      const signature = signAs(key.spec, pairOf(key), message, type, algorithm);
      return {
        KeyId: key.arn,
        Signature: signature.toString('base64'),
        SigningAlgorithm: algorithm,
      };
    },
  },
  // https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html: at most 4,096 octets
  Encrypt: {
    quota: () => 'symmetric',
    states: 'enabled',
    usage: 'ENCRYPT_DECRYPT',
    dryRun: true,
    run: (context) => {
      const key = keyOf(context);
      const plaintext = octets(context.input, 'Plaintext');
      if (plaintext.length > 4096) throw invalid('Plaintext is over 4096 bytes');
      return { KeyId: key.arn, CiphertextBlob: sealed(key, plaintext, context.input) };
    },
  },
  // https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
  Decrypt: {
    quota: () => 'symmetric',
    states: 'enabled',
    usage: 'ENCRYPT_DECRYPT',
    dryRun: true,
    run: (context) => {
      const key = keyOf(context);
      const blob = octets(context.input, 'CiphertextBlob');
      if (keyIdOfCiphertext(blob) !== key.id) {
        const message = 'The key ID in the request does not identify a CMK that can decrypt it.';
        throw new KmsAnswerError('IncorrectKeyException', message);
      }
      const plaintext = decryptUnder(key.id, secretOf(key), blob, contextOf(context.input));
      const answer = plaintext.toString('base64');
      return { KeyId: key.arn, Plaintext: answer, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' };
    },
  },
  // https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKeyPairWithoutPlaintext.html
  GenerateDataKeyPairWithoutPlaintext: {
    quota: ({ input }) => `pair ${text(input, 'KeyPairSpec')}`,
    states: 'enabled',
    usage: 'ENCRYPT_DECRYPT',
    dryRun: true,
    run: (context) => {
      const key = keyOf(context);
      const spec = text(context.input, 'KeyPairSpec');
      const made = context.account.readyPair(spec) ?? PAIR_SPECS[spec]?.().privateKey;
      if (made === undefined) throw invalid(`KeyPairSpec ${spec}`);
      const der = made.export({ type: 'pkcs8', format: 'der' });
      const publicKey = createPublicKey(made).export({ type: 'spki', format: 'der' });
      return {
        KeyId: key.arn,
        KeyPairSpec: spec,
        PrivateKeyCiphertextBlob: sealed(key, der, context.input),
        PublicKey: publicKey.toString('base64'),
      };
    },
  },
  // https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeys.html: at most 1,000 a page
  ListKeys: {
    quota: () => 'ListKeys',
    states: 'any',
    run: ({ account, region, input }) => {
      const limit = typeof input.Limit === 'number' ? input.Limit : 100;
      if (limit < 1 || limit > 1000) throw invalid('Limit must be from 1 to 1000');
      const start = Number(text(input, 'Marker', '0'));
      const now = account.clock.wallMs();
      const all = account.keysIn(region).filter((key) => key.visibleAtMs <= now);
      const page = all.slice(start, start + limit);
      const next = start + page.length;
      const truncated = next < all.length;
      return {
        Keys: page.map((key) => ({ KeyId: key.id, KeyArn: key.arn })),
        Truncated: truncated,
        ...(truncated ? { NextMarker: String(next) } : {}),
      };
    },
  },
  ListResourceTags: {
    quota: () => 'ListResourceTags',
    states: 'any',
    run: (context) => {
      const key = keyOf(context);
      const visible = key.visibleAtMs <= context.account.clock.wallMs();
      const tags = visible ? [...key.tags] : [];
      return { Tags: tags.map(([TagKey, TagValue]) => ({ TagKey, TagValue })), Truncated: false };
    },
  },
  TagResource: {
    quota: () => 'TagResource',
    states: 'not-pending',
    run: (context) => {
      for (const [name, value] of tagsOf(context.input)) keyOf(context).tags.set(name, value);
      return {};
    },
  },
  DisableKey: {
    quota: () => 'DisableKey',
    states: 'not-pending',
    run: (context) => {
      keyOf(context).state = 'Disabled';
      return {};
    },
  },
  EnableKey: {
    quota: () => 'EnableKey',
    states: 'not-pending',
    run: (context) => {
      keyOf(context).state = 'Enabled';
      return {};
    },
  },
  // https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
  // A primary with replicas waits for them: https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html#deleting-mrks
  ScheduleKeyDeletion: {
    quota: () => 'ScheduleKeyDeletion',
    states: 'not-pending',
    run: (context) => {
      const key = keyOf(context);
      const { account, input } = context;
      const days = typeof input.PendingWindowInDays === 'number' ? input.PendingWindowInDays : 30;
      if (days < 7 || days > 30) throw invalid('PendingWindowInDays must be from 7 to 30');
      key.pendingDays = days;
      const waits = key.role === 'primary' && account.siblings(key.id).length > 1;
      key.state = waits ? 'PendingReplicaDeletion' : 'PendingDeletion';
      if (!waits) key.deletionMs = account.clock.wallMs() + days * DAY_MS;
      return {
        KeyId: key.arn,
        KeyState: key.state,
        PendingWindowInDays: days,
        ...(key.deletionMs === undefined ? {} : { DeletionDate: key.deletionMs / 1000 }),
      };
    },
  },
  // The key comes back disabled: https://docs.aws.amazon.com/kms/latest/APIReference/API_CancelKeyDeletion.html
  CancelKeyDeletion: {
    quota: () => 'CancelKeyDeletion',
    states: 'pending',
    run: (context) => {
      const key = keyOf(context);
      key.state = 'Disabled';
      key.deletionMs = undefined;
      return { KeyId: key.arn };
    },
  },
  // https://docs.aws.amazon.com/kms/latest/APIReference/API_ReplicateKey.html; tags are not copied
  ReplicateKey: {
    quota: () => 'ReplicateKey',
    states: 'enabled',
    run: (context) => {
      const { account, input } = context;
      const key = keyOf(context);
      const region = text(input, 'ReplicaRegion');
      if (key.role !== 'primary') {
        throw new KmsAnswerError('UnsupportedOperationException', `${key.arn} is no primary key`);
      }
      if (account.siblings(key.id).some((sibling) => sibling.region === region)) {
        throw new KmsAnswerError('AlreadyExistsException', `${key.id} exists in ${region}`);
      }
      const now = account.clock.wallMs();
      const replica: KmsKey = {
        ...key,
        arn: `arn:aws:kms:${region}:${ACCOUNT}:key/${key.id}`,
        region,
        description: text(input, 'Description', ''),
        createdMs: now,
        role: 'replica',
        state: account.replicaCreatingMs > 0 ? 'Creating' : 'Enabled',
        enabledAtMs: now + account.replicaCreatingMs,
        tags: tagsOf(input),
        visibleAtMs: now + account.listDelayMs,
      };
      account.add(replica);
      return { ReplicaKeyMetadata: metadata(account, replica), ReplicaTags: input.Tags ?? [] };
    },
  },
};

/** https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html */
function metadata(account: KmsAccount, key: KmsKey): Record<string, unknown> {
  const regional = (one: KmsKey) => ({ Arn: one.arn, Region: one.region });
  const siblings = account.siblings(key.id);
  const primary = siblings.find((one) => one.role === 'primary') ?? key;
  return {
    AWSAccountId: ACCOUNT,
    KeyId: key.id,
    Arn: key.arn,
    CreationDate: key.createdMs / 1000,
    Enabled: key.state === 'Enabled',
    Description: key.description,
    KeyUsage: key.usage,
    KeyState: key.state,
    KeySpec: key.spec,
    KeyManager: 'CUSTOMER',
    Origin: 'AWS_KMS',
    MultiRegion: key.role !== 'single',
    ...(key.deletionMs === undefined ? {} : { DeletionDate: key.deletionMs / 1000 }),
    ...(key.role === 'single'
      ? {}
      : {
          MultiRegionConfiguration: {
            MultiRegionKeyType: key.role === 'primary' ? 'PRIMARY' : 'REPLICA',
            PrimaryKey: regional(primary),
            ReplicaKeys: siblings.filter((one) => one.role === 'replica').map(regional),
          },
        }),
  };
}

function keyOf({ key }: KmsCallContext): KmsKey {
  if (key === undefined) throw invalid('KeyId is missing');
  return key;
}

function pairOf({ material }: KmsKey): KeyObject {
  if (material instanceof KeyObject) return material;
  throw new KmsAnswerError('InvalidKeyUsageException', 'the key is symmetric');
}

function secretOf({ material }: KmsKey): Buffer {
  if (Buffer.isBuffer(material)) return material;
  throw new KmsAnswerError('InvalidKeyUsageException', 'the key is asymmetric');
}

function publicDer(key: KmsKey): string {
  if (Buffer.isBuffer(key.material)) {
    throw new KmsAnswerError('UnsupportedOperationException', `${key.arn} is symmetric`);
  }
  const der = createPublicKey(pairOf(key)).export({ type: 'spki', format: 'der' });
  return der.toString('base64');
}

function sealed(key: KmsKey, plaintext: Buffer, input: KmsInput): string {
  return encryptUnder(key.id, secretOf(key), plaintext, contextOf(input)).toString('base64');
}

export function contextOf(input: KmsInput): Readonly<Record<string, string>> {
  return (input.EncryptionContext ?? {}) as Readonly<Record<string, string>>;
}

function tagsOf(input: KmsInput): Map<string, string> {
  const tags = (input.Tags ?? []) as readonly { TagKey: string; TagValue: string }[];
  // https://docs.aws.amazon.com/kms/latest/developerguide/add-tags.html
  for (const { TagKey, TagValue } of tags) {
    if (!/^[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}$/u.test(TagKey) || TagKey.startsWith('aws:')) {
      throw new KmsAnswerError('TagException', `tag key ${TagKey}`);
    }
    if (!/^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$/u.test(TagValue)) {
      throw new KmsAnswerError('TagException', `tag value ${TagValue}`);
    }
  }
  return new Map(tags.map(({ TagKey, TagValue }) => [TagKey, TagValue]));
}

function text(input: KmsInput, name: string, otherwise?: string): string {
  const value = input[name] ?? otherwise;
  if (typeof value !== 'string') throw invalid(`${name} is missing`);
  return value;
}

function octets(input: KmsInput, name: string): Buffer {
  return Buffer.from(text(input, name), 'base64');
}
