import assert from 'node:assert/strict';
import { type KmsClient, openAwsClient } from '../../../src/keys/kms/aws-client.ts';
import { KmsError } from '../../../src/keys/kms/kms-fault.ts';
import type { KmsInput, KmsOperation, KmsOutput } from '../../../src/keys/kms/kms-operation.ts';
import { FakeKms } from '../../support/kms/fake-kms.ts';
import { useKmsCredentials } from '../../support/kms/kms-lab.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const DAY_MS = 86_400_000;

/** The rules of AWS that the in-repo KMS keeps; each has its page beside it in the source. */
describe('in-repo KMS', () => {
  let clock: ManualClock;
  let kms: FakeKms;
  let clients: Map<string, KmsClient>;
  let dropCredentials: () => void;

  beforeEach(async () => {
    clock = new ManualClock();
    dropCredentials = useKmsCredentials();
    kms = await FakeKms.start(['eu-central-1', 'eu-west-1'], clock);
    clients = new Map();
    for (const { name, url } of kms.regions.values()) {
      clients.set(name, await openAwsClient({ region: name, endpoint: url, connections: 10 }));
    }
  });
  afterEach(async () => {
    for (const client of clients.values()) client.close();
    await kms.stop();
    dropCredentials();
  });

  const send = async <Name extends KmsOperation>(
    name: Name,
    input: KmsInput<Name>,
    region = 'eu-central-1',
  ): Promise<KmsOutput<Name>> =>
    await clients.get(region)!.send(name, input, new AbortController().signal);
  /** The name of AWS's error; `ok` when it went well. */
  const outcome = async <Name extends KmsOperation>(
    name: Name,
    input: KmsInput<Name>,
    region?: string,
  ): Promise<string> => {
    try {
      await send(name, input, region);
      return 'ok';
    } catch (error) {
      assert.ok(error instanceof KmsError);
      return /: (\w+)(?:: |$)/.exec(error.message.replace(/^[^:]*/, ''))?.[1] ?? error.message;
    }
  };
  const signingKey = async (multiRegion = false): Promise<string> => {
    const { KeyMetadata } = await send('CreateKey', {
      KeySpec: 'ECC_NIST_EDWARDS25519',
      KeyUsage: 'SIGN_VERIFY',
      MultiRegion: multiRegion,
    });
    return KeyMetadata?.Arn ?? '';
  };
  const signing = (KeyId: string) => ({
    KeyId,
    Message: Buffer.alloc(32),
    MessageType: 'RAW' as const,
    SigningAlgorithm: 'ED25519_SHA_512' as const,
  });
  const state = async (KeyId: string, region?: string) =>
    (await send('DescribeKey', { KeyId }, region)).KeyMetadata?.KeyState;

  it('a disabled key neither signs nor shows its public half, and is described', async () => {
    const KeyId = await signingKey();
    await send('DisableKey', { KeyId });
    await send('DisableKey', { KeyId });
    assert.equal(await outcome('Sign', signing(KeyId)), 'DisabledException');
    assert.equal(await outcome('GetPublicKey', { KeyId }), 'DisabledException');
    assert.equal(await state(KeyId), 'Disabled');
    await send('EnableKey', { KeyId });
    assert.equal(await outcome('Sign', signing(KeyId)), 'ok');
  });

  it('a key pending deletion does nothing until that is cancelled, and is disabled then', async () => {
    const KeyId = await signingKey();
    const input = { KeyId, PendingWindowInDays: 7 };
    const { DeletionDate } = await send('ScheduleKeyDeletion', input);
    assert.equal(DeletionDate?.getTime(), clock.wallMs() + 7 * DAY_MS);
    for (const name of [
      'DisableKey',
      'EnableKey',
      'GetPublicKey',
      'ScheduleKeyDeletion',
    ] as const) {
      assert.equal(await outcome(name, { KeyId }), 'KMSInvalidStateException', name);
    }
    assert.equal(await outcome('Sign', signing(KeyId)), 'KMSInvalidStateException');
    await send('CancelKeyDeletion', { KeyId });
    assert.equal(await state(KeyId), 'Disabled');
    assert.equal(await outcome('CancelKeyDeletion', { KeyId }), 'KMSInvalidStateException');
    await send('ScheduleKeyDeletion', input);
    clock.advance(7 * DAY_MS);
    assert.equal(await outcome('DescribeKey', { KeyId }), 'NotFoundException');
  });

  it('the waiting period is 7 to 30 days', async () => {
    const KeyId = await signingKey();
    for (const PendingWindowInDays of [6, 31]) {
      const input = { KeyId, PendingWindowInDays };
      assert.equal(await outcome('ScheduleKeyDeletion', input), 'ValidationException');
    }
  });

  it('DryRun makes all checks and nothing else', async () => {
    const KeyId = await signingKey();
    assert.equal(
      await outcome('Sign', { ...signing(KeyId), DryRun: true }),
      'DryRunOperationException',
    );
    await send('DisableKey', { KeyId });
    assert.equal(await outcome('Sign', { ...signing(KeyId), DryRun: true }), 'DisabledException');
  });

  it('throttles each family by itself, and forgets after a second', async () => {
    const create = () => outcome('CreateKey', {});
    for (let count = 0; count < 5; count += 1) assert.equal(await create(), 'ok');
    assert.equal(await create(), 'ThrottlingException');
    const [key] = kms.account.keysIn('eu-central-1');
    assert.equal(await outcome('DescribeKey', { KeyId: key!.arn }), 'ok');
    clock.advance(1000);
    assert.equal(await create(), 'ok');
  });

  it('a ciphertext opens with its context only, and with its key only', async () => {
    const KeyId = kms.makeWrappingKey();
    const EncryptionContext = { domain: 'example.com', selector: 'one' };
    const { CiphertextBlob } = await send('Encrypt', {
      KeyId,
      Plaintext: Buffer.from('secret'),
      EncryptionContext,
    });
    const decrypt = (context: Record<string, string>, key = KeyId) =>
      outcome('Decrypt', { KeyId: key, CiphertextBlob, EncryptionContext: context });
    assert.equal(await decrypt({ selector: 'one', domain: 'example.com' }), 'ok');
    assert.equal(await decrypt({ domain: 'example.com' }), 'InvalidCiphertextException');
    assert.equal(
      await decrypt({ domain: 'Example.com', selector: 'one' }),
      'InvalidCiphertextException',
    );
    assert.equal(await decrypt(EncryptionContext, kms.makeWrappingKey()), 'IncorrectKeyException');
  });

  it('Encrypt takes 4,096 octets', async () => {
    const KeyId = kms.makeWrappingKey();
    const encrypt = (octets: number) =>
      outcome('Encrypt', { KeyId, Plaintext: Buffer.alloc(octets) });
    assert.equal(await encrypt(4096), 'ok');
    assert.equal(await encrypt(4097), 'ValidationException');
  });

  it('a condition on the encryption context is access denied', async () => {
    const KeyId = kms.makeWrappingKey();
    kms.conditions.push(({ context }) => context.domain === 'example.com');
    const encrypt = (domain: string) =>
      outcome('Encrypt', { KeyId, Plaintext: Buffer.of(1), EncryptionContext: { domain } });
    assert.equal(await encrypt('example.com'), 'ok');
    assert.equal(await encrypt('example.net'), 'AccessDeniedException');
  });

  it('a condition on the caller is access denied', async () => {
    const KeyId = kms.makeWrappingKey();
    const encrypt = () => outcome('Encrypt', { KeyId, Plaintext: Buffer.of(1) });
    kms.conditions.push(({ accessKeyId }) => accessKeyId === 'AKIDEXAMPLE');
    assert.equal(await encrypt(), 'ok');
    kms.conditions.push(({ accessKeyId }) => accessKeyId === 'AKIDOTHER');
    assert.equal(await encrypt(), 'AccessDeniedException');
  });

  it('Ed25519 signs RAW only, RSA a digest of 32 octets', async () => {
    const KeyId = await signingKey();
    const digest = { ...signing(KeyId), MessageType: 'DIGEST' as const };
    assert.equal(await outcome('Sign', digest), 'ValidationException');
    const { KeyMetadata } = await send('CreateKey', {
      KeySpec: 'RSA_2048',
      KeyUsage: 'SIGN_VERIFY',
    });
    const rsa = (octets: number) =>
      outcome('Sign', {
        KeyId: KeyMetadata?.Arn,
        Message: Buffer.alloc(octets),
        MessageType: 'DIGEST',
        SigningAlgorithm: 'RSASSA_PKCS1_V1_5_SHA_256',
      });
    assert.equal(await rsa(32), 'ok');
    assert.equal(await rsa(31), 'ValidationException');
    assert.equal(await outcome('Sign', signing(kms.makeWrappingKey())), 'InvalidKeyUsageException');
  });

  it('a multi-Region key has one private half, and a state in each Region', async () => {
    const KeyId = await signingKey(true);
    await send('ReplicateKey', { KeyId, ReplicaRegion: 'eu-west-1' });
    const replica = KeyId.replace('eu-central-1', 'eu-west-1');
    const there = await send('Sign', signing(replica), 'eu-west-1');
    assert.deepEqual(there.Signature, (await send('Sign', signing(KeyId))).Signature);
    assert.equal(await outcome('Sign', signing(KeyId), 'eu-west-1'), 'NotFoundException');
    await send('DisableKey', { KeyId });
    assert.equal(await outcome('Sign', signing(KeyId)), 'DisabledException');
    assert.equal(await outcome('Sign', signing(replica), 'eu-west-1'), 'ok');
    await send('EnableKey', { KeyId });
    const again = { KeyId, ReplicaRegion: 'eu-west-1' };
    assert.equal(await outcome('ReplicateKey', again), 'AlreadyExistsException');
    const single = { KeyId: await signingKey(), ReplicaRegion: 'eu-west-1' };
    assert.equal(await outcome('ReplicateKey', single), 'UnsupportedOperationException');
  });

  it('a primary key waits for its replicas before its own waiting period begins', async () => {
    const KeyId = await signingKey(true);
    await send('ReplicateKey', { KeyId, ReplicaRegion: 'eu-west-1' });
    const primary = await send('ScheduleKeyDeletion', { KeyId, PendingWindowInDays: 7 });
    assert.equal(primary.KeyState, 'PendingReplicaDeletion');
    assert.equal(primary.DeletionDate, undefined);
    clock.advance(30 * DAY_MS);
    assert.equal(await state(KeyId), 'PendingReplicaDeletion');
    const replica = KeyId.replace('eu-central-1', 'eu-west-1');
    await send('ScheduleKeyDeletion', { KeyId: replica, PendingWindowInDays: 7 }, 'eu-west-1');
    clock.advance(8 * DAY_MS);
    assert.equal(await state(KeyId), 'PendingDeletion');
    clock.advance(7 * DAY_MS);
    assert.equal(await outcome('DescribeKey', { KeyId }), 'NotFoundException');
  });

  it('lists and tags lag behind when they are told to', async () => {
    kms.account.listDelayMs = 5000;
    const { KeyMetadata } = await send('CreateKey', { Tags: [{ TagKey: 'a', TagValue: 'b' }] });
    const KeyId = KeyMetadata?.Arn;
    const seen = async () => [
      (await send('ListKeys', {})).Keys?.length,
      (await send('ListResourceTags', { KeyId })).Tags?.length,
    ];
    assert.deepEqual(await seen(), [0, 0]);
    clock.advance(5000);
    assert.deepEqual(await seen(), [1, 1]);
  });

  it('lists in pages', async () => {
    for (let count = 0; count < 7; count += 1) kms.makeWrappingKey();
    const sizes: number[] = [];
    let Marker: string | undefined;
    do {
      const page = await send('ListKeys', {
        Limit: 3,
        ...(Marker === undefined ? {} : { Marker }),
      });
      sizes.push(page.Keys?.length ?? 0);
      Marker = page.NextMarker;
    } while (Marker !== undefined);
    assert.deepEqual(sizes, [3, 3, 1]);
  });

  it('refuses a request that was signed for another Region, or at another time', async () => {
    const KeyId = kms.makeWrappingKey();
    const url = kms.region('eu-west-1').url;
    const wrong = await openAwsClient({ region: 'eu-central-1', endpoint: url, connections: 1 });
    const call = wrong.send('DescribeKey', { KeyId }, new AbortController().signal);
    await assert.rejects(call, /InvalidSignatureException.*valid region/);
    wrong.close();
    kms.region().skewMs = 301_000;
    await assert.rejects(send('DescribeKey', { KeyId }), /InvalidSignatureException.*expired/);
  });

  it('denies access for the first minutes only, when it is told to', async () => {
    const KeyId = await signingKey();
    const denied = { kind: 'error', type: 'AccessDeniedException' } as const;
    kms.region().faults.inject(denied, { operation: 'Sign', forMs: 180_000 });
    assert.equal(await outcome('Sign', signing(KeyId)), 'AccessDeniedException');
    clock.advance(179_999);
    assert.equal(await outcome('Sign', signing(KeyId)), 'AccessDeniedException');
    clock.advance(1);
    assert.equal(await outcome('Sign', signing(KeyId)), 'ok');
  });

  it('refuses tags that AWS refuses', async () => {
    const tag = (TagKey: string, TagValue: string) =>
      outcome('CreateKey', { Tags: [{ TagKey, TagValue }] });
    assert.equal(await tag('waxseal:domain', 'xn--bcher-kva.example'), 'ok');
    assert.equal(await tag('aws:domain', 'x'), 'TagException');
    assert.equal(await tag('a', 'b*c'), 'TagException');
  });
});
