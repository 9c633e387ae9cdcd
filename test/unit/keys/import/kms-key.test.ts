import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { KeyBackend, StoredKey } from '../../../../src/keys/backend.ts';
import { importSource } from '../../../../src/keys/import/import-source.ts';
import { type DescribedKmsKey, parseKmsKeyArn } from '../../../../src/keys/import/kms-key-facts.ts';
import { kmsKeySource } from '../../../../src/keys/import/kms-key-source.ts';
import { keyAlgorithmNamed } from '../../../../src/keys/key-algorithm.ts';
import { type KeyringAccess, keyringAccess } from '../../../../src/keys/keyring-access.ts';
import { KeysRefusal } from '../../../../src/keys/keys-error.ts';
import { localSigner } from '../../../../src/keys/local-signer.ts';
import {
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
  TxtTable,
} from '../../../support/keyring.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

const ARN = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
const PAIR = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ED25519 = generateKeyPairSync('ed25519');

const spki = (key: KeyObject) => key.export({ type: 'spki', format: 'der' });

const GOOD: DescribedKmsKey = {
  arn: ARN,
  spec: 'RSA_2048',
  usage: 'SIGN_VERIFY',
  state: 'Enabled',
  region: 'eu-west-1',
  publicKeySpki: spki(PAIR.publicKey),
};

describe('import of a KMS key by its ARN', () => {
  let place: KeyringPlace;
  let access: KeyringAccess;
  let dns: TxtTable;
  let opened: StoredKey[];

  beforeEach(async () => {
    place = await makeKeyringPlace();
    dns = new TxtTable();
    opened = [];
    access = {
      ...keyringAccess(place, new ManualClock(Date.parse('2026-11-25T09:00:00Z'))),
      connect: async () => signingElsewhere(PAIR.privateKey),
    };
  });
  afterEach(async () => await removeKeyringPlace(place));

  /** A back end that has the key already, and must not be asked to keep or make one. */
  function signingElsewhere(privateKey: KeyObject): KeyBackend {
    const never = async (): Promise<never> => {
      throw new Error('must not be called');
    };
    return {
      warnings: [],
      create: never,
      keep: never,
      holds: never,
      open: async (key) => {
        opened.push(key);
        const algorithm = keyAlgorithmNamed(key.algorithm)!;
        return { kind: 'open', signer: localSigner(algorithm, privateKey) };
      },
      disable: never,
      destroy: never,
      cancelDestroy: never,
      orphans: never,
    };
  }

  const importKey = async (
    facts: Partial<DescribedKmsKey> = {},
    regions: readonly string[] = [],
    domain = 'example.com',
  ) => {
    const describe = async () => ({ ...GOOD, ...facts });
    const source = await kmsKeySource(facts.arn ?? ARN, 'file', describe, regions);
    const options = { subdomains: undefined, ttlS: 3600, adoptRecord: false, force: false };
    const request = { domain, selector: 'mail', ...options, dryRun: false };
    return await importSource(access, source, request, {
      lookup: dns,
      standing: async () => ({ kind: 'none', reason: 'there is no TXT record' }),
      journal: undefined,
      clock: access.clock,
      caller: 'test',
    });
  };

  it('lists it with its ARN after a probe signature, and keeps nothing', async () => {
    const { key } = await importKey({}, ['eu-central-1', 'eu-west-1']);
    assert.deepEqual(key.material, { arn: ARN });
    assert.equal(key.publicKey, spki(PAIR.publicKey).toString('base64'));
    assert.deepEqual(opened[0]?.material, { arn: ARN });
    const stored = (await access.store.read()).domains.get('example.com');
    assert.deepEqual(stored?.keys[0]?.material, { arn: ARN });
  });

  it('notes where a multi-Region key lives', async () => {
    const arn = 'arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab';
    const { key } = await importKey({ arn, regions: ['eu-west-1', 'eu-central-1'] });
    assert.deepEqual(key.material, { arn, regions: 'eu-west-1,eu-central-1' });
  });

  it('takes the bare 32 octets of an Ed25519 key, not the SPKI that KMS gives', async () => {
    access = { ...access, connect: async () => signingElsewhere(ED25519.privateKey) };
    const publicKeySpki = spki(ED25519.publicKey);
    const { key } = await importKey({ spec: 'ECC_NIST_EDWARDS25519', publicKeySpki });
    assert.equal(key.publicKey, publicKeySpki.subarray(-32).toString('base64'));
    assert.equal(key.publicKey.length, 44);
  });

  it('lets several domains share one key of KMS', async () => {
    await importKey();
    await importKey({}, [], 'example.net');
    const { domains } = await access.store.read();
    const materials = [...domains.values()].flatMap((entry) =>
      entry.keys.map((key) => key.material),
    );
    assert.deepEqual(materials, [{ arn: ARN }, { arn: ARN }]);
  });

  it('refuses a key that cannot make a signature that verifies', async () => {
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    access = { ...access, connect: async () => signingElsewhere(other) };
    await assert.rejects(importKey(), { code: 'key-unusable' });
    assert.equal((await access.store.read()).domains.size, 0);
  });

  const refused: readonly [string, Partial<DescribedKmsKey>, string, RegExp][] = [
    ['a key for encryption', { usage: 'ENCRYPT_DECRYPT' }, 'key-usage', /not for signing/],
    ['a spec that DKIM lacks', { spec: 'ECC_NIST_P256' }, 'key-spec', /ECC_NIST_P256/],
    ['a disabled key', { state: 'Disabled' }, 'key-state', /is Disabled/],
    ['a key that is being deleted', { state: 'PendingDeletion' }, 'key-state', /PendingDeletion/],
    ['a key of a state not known here', { state: 'Sleeping' }, 'key-state', /Sleeping/],
    ['a key of another Region', { region: 'us-east-1' }, 'key-region', /is in eu-west-1/],
    [
      'a public key that is not of its spec',
      { publicKeySpki: spki(ED25519.publicKey) },
      'key-mismatch',
      /not of the spec RSA_2048/,
    ],
    ['junk for a public key', { publicKeySpki: Buffer.from('x') }, 'key-mismatch', /RSA_2048/],
  ];
  for (const [what, facts, code, message] of refused) {
    it(`refuses ${what}, with a hint`, async () => {
      await assert.rejects(importKey(facts), (error) => {
        assert.ok(error instanceof KeysRefusal && error.hint !== undefined);
        assert.equal(error.code, code);
        assert.match(error.message, message);
        return true;
      });
      await assert.rejects(access.store.read(), { code: 'keyring-missing' });
    });
  }

  it('refuses a Region in which no relay asks', async () => {
    await assert.rejects(importKey({}, ['us-east-1']), { code: 'key-region' });
  });

  it('reads ARNs of keys in every partition, multi-Region keys too', () => {
    assert.equal(parseKmsKeyArn(ARN).region, 'eu-west-1');
    const gov =
      'arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab';
    assert.deepEqual(parseKmsKeyArn(gov), {
      region: 'us-gov-west-1',
      account: '111122223333',
      keyId: 'mrk-1234abcd12ab34cd56ef1234567890ab',
    });
  });

  for (const [text, message] of [
    ['arn:aws:kms:eu-west-1:111122223333:alias/dkim', /an alias/],
    ['alias/dkim', /an alias/],
    ['1234abcd-12ab-34cd-56ef-1234567890ab', /no ARN/],
    ['arn:aws:s3:::bucket', /no ARN/],
    ['', /no ARN/],
  ] as const) {
    it(`refuses "${text}" before KMS is asked`, async () => {
      await assert.rejects(importKey({ arn: text }), { code: 'key-arn', message });
    });
  }
});
