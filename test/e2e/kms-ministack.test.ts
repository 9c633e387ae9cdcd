import assert from 'node:assert/strict';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { systemClock } from '../../src/base/clock.ts';
import { BACKENDS } from '../../src/keys/backends.ts';
import { keyAlgorithmNamed } from '../../src/keys/key-algorithm.ts';
import { Kms } from '../../src/keys/kms/kms.ts';
import { stored, useKmsCredentials } from '../support/kms/kms-lab.ts';
import { type Ministack, startMinistack } from '../support/ministack.ts';
import { requirePeer } from '../support/peers.ts';
import { build } from '../unit/config/build.ts';

const OCTETS = Buffer.from('from:a@example.com\r\ndkim-signature:v=1; b=');

/**
 * The wire format and the cryptography against an emulator that is not ours. It is laxer than AWS,
 * so AWS's rules are tested with the in-repo KMS.
 */
describe('keys in KMS, against ministack', function () {
  this.timeout(60_000);
  let ministack: Ministack;
  let kms: Kms;
  let dropCredentials = () => {};

  beforeEach(async function () {
    ministack = await startMinistack(requirePeer(this, 'hypercorn'), ['kms']);
    dropCredentials = useKmsCredentials();
    kms = open('');
  });
  afterEach(async () => {
    await kms?.close();
    await ministack?.close();
    dropCredentials();
  });

  const open = (wrappingKey: string): Kms => {
    const settings = build('').config.kms;
    const log = { warning: () => undefined, kmsCalls: () => undefined };
    return new Kms(
      { ...settings, regions: ['eu-central-1'], endpoints: [ministack.endpoint], wrappingKey },
      { clock: systemClock, log },
    );
  };
  const withWrappingKey = async () => {
    const { KeyMetadata } = await kms.caller.call({
      operation: 'CreateKey',
      family: 'CreateKey',
      regions: ['eu-central-1'],
      input: () => ({ Description: 'wraps keys' }),
    });
    await kms.close();
    kms = open(KeyMetadata?.Arn ?? '');
  };
  const connect = (name: 'kms-sign' | 'kms-envelope') =>
    BACKENDS[name].connect({ dir: '', masterKeyFile: '', masterKey: 'must-exist', kms });
  const verifies = async (algorithm: string, publicKey: KeyObject, signature: Buffer) =>
    await keyAlgorithmNamed(algorithm)!.verify(OCTETS, publicKey, signature);

  for (const algorithm of ['rsa2048', 'ed25519']) {
    const identity = { domain: 'example.com', selector: 'wx1', algorithm };

    it(`kms-sign: makes, signs with, disables and deletes a key of ${algorithm}`, async () => {
      const backend = await connect('kms-sign');
      const kept = await backend.create(identity, 'intent-1', 'now');
      const key = stored(identity, kept);
      const opened = await backend.open(key);
      assert.ok(opened.kind === 'open');
      const signature = await opened.signer.sign(OCTETS);
      assert.ok(await verifies(algorithm, kept.publicKey, signature));
      assert.deepEqual(
        (await backend.orphans([])).map(({ reference, intent }) => [reference, intent]),
        [[key.material?.arn, 'intent-1']],
      );
      assert.deepEqual(await backend.orphans([key]), []);
      await backend.disable(key);
      await assert.rejects(opened.signer.sign(OCTETS), /DisabledException/);
      assert.equal((await backend.destroy(key)).kind, 'scheduled');
      await backend.cancelDestroy(key);
    });

    it(`kms-sign: adopts the key of ${algorithm} that an interrupted run made`, async () => {
      const backend = await connect('kms-sign');
      const first = await backend.create(identity, 'intent-1', 'now');
      const again = await backend.create(identity, 'intent-1');
      assert.deepEqual(again.material, first.material);
    });

    it(`kms-envelope: makes and opens a key of ${algorithm}, with its context only`, async () => {
      await withWrappingKey();
      const backend = await connect('kms-envelope');
      const kept = await backend.create(identity, 'intent-1');
      const key = stored(identity, kept);
      const opened = await backend.open(key);
      assert.ok(opened.kind === 'open');
      assert.ok(await verifies(algorithm, kept.publicKey, await opened.signer.sign(OCTETS)));
      const moved = await backend.open({ ...key, domain: 'example.net' });
      assert.ok(moved.kind === 'unusable' && moved.scope === 'key');
      assert.match(moved.reason, /InvalidCiphertextException/);
    });

    it(`kms-envelope: keeps a key of ${algorithm} from outside`, async () => {
      await withWrappingKey();
      const backend = await connect('kms-envelope');
      const { privateKey } = await keyAlgorithmNamed(algorithm)!.generate();
      const key = stored(identity, await backend.keep(identity, privateKey));
      const opened = await backend.open(key);
      assert.ok(opened.kind === 'open');
      const signature = await opened.signer.sign(OCTETS);
      assert.ok(await verifies(algorithm, createPublicKey(privateKey), signature));
    });
  }
});
