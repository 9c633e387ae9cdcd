import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyBackend, StoredKey } from '../../../../src/keys/backend.ts';
import { keyAlgorithmNamed } from '../../../../src/keys/key-algorithm.ts';
import type { Kms } from '../../../../src/keys/kms/kms.ts';
import { KMS_EFFECTS } from '../../../support/kms/kms-faults.ts';
import { KmsLab, stored } from '../../../support/kms/kms-lab.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { waitFor } from '../../../support/wait-for.ts';

const OCTETS = Buffer.from('from:a@example.com\r\ndkim-signature:v=1; b=');

describe('keys wrapped by KMS (kms-envelope)', () => {
  let lab: KmsLab;
  let kms: Kms;
  let backend: KeyBackend;
  /** With all the time that it needs. */
  let maker: KeyBackend;
  afterEach(() => lab?.stop());

  const start = async (options: Parameters<typeof KmsLab.start>[0] = {}) => {
    lab = await KmsLab.start(options);
    kms = lab.openKms();
    backend = await lab.connect('kms-envelope', kms);
    maker = await lab.connect('kms-envelope', lab.openKms({ totalTimeoutMs: 30_000 }));
  };
  const identity = (algorithm: string) => ({ domain: 'example.com', selector: 'wx1', algorithm });
  const make = async (algorithm = 'ed25519'): Promise<StoredKey> =>
    stored(identity(algorithm), await maker.create(identity(algorithm), 'intent'));
  const signs = async (key: StoredKey, from: KeyBackend = backend): Promise<boolean> => {
    const opened = await from.open(key);
    if (opened.kind !== 'open') return false;
    assert.equal(opened.signer.remote, false);
    const row = keyAlgorithmNamed(key.algorithm)!;
    const publicKey = row.publicKeyFrom(Buffer.from(key.publicKey, 'base64'));
    return await row.verify(OCTETS, publicKey, await opened.signer.sign(OCTETS));
  };

  const replicatedWrappingKey = async (): Promise<string> => {
    const made = await kms.caller.call({
      operation: 'CreateKey',
      family: 'CreateKey',
      regions: ['eu-central-1'],
      input: () => ({ MultiRegion: true }),
    });
    const wrappingKey = made.KeyMetadata?.Arn ?? '';
    await kms.caller.call({
      operation: 'ReplicateKey',
      family: 'ReplicateKey',
      regions: ['eu-central-1'],
      input: () => ({ KeyId: wrappingKey, ReplicaRegion: 'eu-west-1' }),
    });
    return wrappingKey;
  };

  it('finds a wrapping key that is not in the first Region of the configuration', async () => {
    await start({ regions: ['eu-west-1', 'eu-central-1'] });
    const made = await kms.caller.call({
      operation: 'CreateKey',
      family: 'CreateKey',
      regions: ['eu-central-1'],
      input: () => ({ MultiRegion: true }),
    });
    const there = lab.openKms({ wrappingKey: made.KeyMetadata?.Arn ?? '' });
    const backend = await lab.connect('kms-envelope', there);
    const key = stored(identity('ed25519'), await backend.create(identity('ed25519'), 'intent'));
    assert.ok(await signs(key, await lab.connect('kms-envelope', lab.openKms())));
    lab.server.region('eu-central-1').faults.inject(KMS_EFFECTS.disabled);
    const opened = await (await lab.connect('kms-envelope', lab.openKms())).open(key);
    assert.ok(opened.kind === 'unusable');
    assert.match(opened.reason, /eu-central-1.*disabled/i, 'at home it is a verdict');
  });

  for (const [algorithm, spec] of [
    ['rsa2048', 'RSA_2048'],
    ['rsa3072', 'RSA_3072'],
    ['ed25519', 'ECC_NIST_EDWARDS25519'],
  ] as const) {
    it(`makes a key of ${algorithm} that only its domain and selector open`, async () => {
      await start();
      const key = await make(algorithm);
      assert.deepEqual(lab.server.calls[0]?.input, {
        KeyId: lab.wrappingKey,
        KeyPairSpec: spec,
        EncryptionContext: { domain: 'example.com', selector: 'wx1' },
      });
      assert.ok(await signs(key));
      for (const moved of [
        { ...key, domain: 'example.net' },
        { ...key, selector: 'wx2' },
      ]) {
        const opened = await backend.open(moved);
        assert.ok(
          opened.kind === 'unusable' && opened.scope === 'key',
          'it is no reason to stop all',
        );
      }
    });
  }

  it('keeps and reveals a key from outside', async () => {
    await start();
    for (const algorithm of ['rsa2048', 'rsa4096', 'ed25519']) {
      const { privateKey } = await keyAlgorithmNamed(algorithm)!.generate();
      const key = stored(identity(algorithm), await backend.keep(identity(algorithm), privateKey));
      assert.ok(await signs(key));
      const revealing = backend as KeyBackend & {
        reveal(key: StoredKey): Promise<typeof privateKey>;
      };
      assert.ok((await revealing.reveal(key)).equals(privateKey));
    }
  });

  it('sees that a ciphertext is of another key than the manifest says', async () => {
    await start();
    const [one, two] = [await make(), await make()];
    const opened = await backend.open({ ...one, material: two.material });
    assert.ok(opened.kind === 'unusable');
    assert.match(opened.reason, /not the key of example\.com, selector wx1/);
  });

  it('asks KMS once for a key, over reloads too, and again in another process', async () => {
    await start();
    const key = await make();
    const reloaded = await lab.connect('kms-envelope', kms);
    assert.ok((await signs(key)) && (await signs(key, reloaded)));
    assert.equal(lab.server.count('Decrypt'), 1);
    assert.ok(await signs(key, await lab.connect('kms-envelope')));
    assert.equal(lab.server.count('Decrypt'), 2);
  });

  for (const [name, effect, scope] of [
    ['throttled', KMS_EFFECTS.throttled, 'backend'],
    ['5xx', KMS_EFFECTS.internal, 'backend'],
    ['unknown credentials', KMS_EFFECTS.badToken, 'backend'],
    ['access denied', KMS_EFFECTS.accessDenied, 'key'],
    ['disabled', KMS_EFFECTS.disabled, 'key'],
    ['wrong context', KMS_EFFECTS.wrongContext, 'key'],
  ] as const) {
    it(`${name}: unusable for now, and it says for whom (${scope})`, async () => {
      await start({ settings: { totalTimeoutMs: 500 } });
      const key = await make();
      lab.server.region().faults.inject(effect, { operation: 'Decrypt' });
      const opened = await backend.open(key);
      assert.ok(opened.kind === 'unusable');
      assert.equal(opened.scope, scope);
      assert.ok(opened.later !== undefined, 'it is tried again');
    });
  }

  it('opens a multi-Region wrapping key elsewhere when home does not answer', async () => {
    await start({ regions: ['eu-central-1', 'eu-west-1'], settings: { totalTimeoutMs: 5000 } });
    const wrappingKey = await replicatedWrappingKey();
    backend = await lab.connect('kms-envelope', lab.openKms({ wrappingKey }));
    const key = stored(identity('ed25519'), await backend.create(identity('ed25519'), 'i'));
    await lab.server.region('eu-central-1').close();
    assert.ok(await signs(key));
  });

  describe('where KMS takes longer than a start may wait', () => {
    let clock: ManualClock;
    beforeEach(() => {
      clock = new ManualClock();
    });

    /** Has a key opened in vain at the start, and tried again. */
    const openLater = async (key: StoredKey) => {
      const opening = backend.open(key);
      await waitFor('the first try', () => lab.server.count('Decrypt') === 1);
      clock.advance(5000);
      const opened = await opening;
      assert.ok(opened.kind === 'unusable' && opened.later !== undefined);
      clock.advance(1000);
      await waitFor('the second try', () => lab.server.count('Decrypt') === 2);
      return opened.later;
    };

    it('opens when it answers within the time of an attempt', async () => {
      await start({ clock });
      const key = await make();
      lab.server.region().faults.inject({ kind: 'latency', ms: 10_000 }, { operation: 'Decrypt' });
      const later = await openLater(key);
      clock.advance(10_000);
      await waitFor('the key', () => later.signer !== undefined);
    });

    it('opens in another Region when home is silent', async () => {
      await start({ clock, regions: ['eu-central-1', 'eu-west-1'] });
      const wrappingKey = await replicatedWrappingKey();
      backend = await lab.connect('kms-envelope', lab.openKms({ wrappingKey }));
      const key = stored(identity('ed25519'), await backend.create(identity('ed25519'), 'i'));
      lab.server.region('eu-central-1').faults.inject(KMS_EFFECTS.silence);
      const later = await openLater(key);
      clock.advance(12_000);
      await waitFor('the key', () => later.signer !== undefined);
    });
  });

  it('says what to set when there is no wrapping key', async () => {
    await start({ settings: { wrappingKey: '' } });
    const { privateKey } = generateKeyPairSync('ed25519');
    for (const refused of [
      backend.create(identity('ed25519'), 'i'),
      backend.keep(identity('ed25519'), privateKey),
    ]) {
      await assert.rejects(refused, { code: 'key-wrapping-missing', hint: /symmetric KMS key/ });
    }
  });

  it('never puts key material into an error', async () => {
    await start();
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    lab.server.region().faults.inject(KMS_EFFECTS.internal);
    const quick = await lab.connect('kms-envelope', lab.openKms({ totalTimeoutMs: 100 }));
    const error = await quick.keep(identity('rsa2048'), privateKey).catch((thrown) => thrown);
    const text = JSON.stringify([error, error.stack, error.cause]);
    const der = privateKey.export({ type: 'pkcs8', format: 'der' });
    assert.ok(!text.includes(der.toString('base64').slice(600, 640)));
    assert.ok(createPublicKey(privateKey));
  });
});
