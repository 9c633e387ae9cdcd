import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { KmsSigningError } from '../../../../src/keys/kms/kms-signer.ts';
import { KMS_EFFECTS } from '../../../support/kms/kms-faults.ts';
import { KmsLab, stored } from '../../../support/kms/kms-lab.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

const OCTETS = Buffer.from('from:a@example.com\r\ndkim-signature:v=1; b=');

describe('keys in KMS (kms-sign)', () => {
  let lab: KmsLab;
  afterEach(() => lab?.stop());

  const identity = (algorithm: string) => ({
    domain: 'example.com',
    selector: `wx202611${algorithm[0]}1`,
    algorithm,
  });

  for (const [algorithm, spec, type] of [
    ['rsa2048', 'RSA_2048', 'DIGEST'],
    ['ed25519', 'ECC_NIST_EDWARDS25519', 'RAW'],
  ] as const) {
    it(`signs with ${algorithm} as DKIM wants it`, async () => {
      lab = await KmsLab.start();
      const backend = await lab.connect('kms-sign');
      const key = stored(
        identity(algorithm),
        await backend.create(identity(algorithm), 'intent-1', 'now'),
      );
      const opened = await backend.open(key);
      assert.equal(opened.kind, 'open');
      if (opened.kind !== 'open') return;
      assert.equal(opened.signer.remote, true);
      const signature = await opened.signer.sign(OCTETS);
      const octets = Buffer.from(key.publicKey, 'base64');
      const hash = createHash('sha256').update(OCTETS).digest();
      if (algorithm === 'ed25519') {
        assert.equal(octets.length, 32, 'p= holds the bare key (RFC 8463 section 4.2)');
        const x = octets.toString('base64url');
        const jwk = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
        assert.ok(verify(null, hash, jwk, signature));
      } else {
        const spki = createPublicKey({ key: octets, type: 'spki', format: 'der' });
        assert.ok(verify('sha256', OCTETS, spki, signature));
      }
      const created = lab.server.calls.find((call) => call.operation === 'CreateKey')?.input;
      assert.equal(created?.KeySpec, spec);
      assert.equal(created?.KeyUsage, 'SIGN_VERIFY');
      const signed = lab.server.calls.find((call) => call.operation === 'Sign')?.input;
      assert.equal(signed?.MessageType, type);
      assert.equal(signed?.Message, hash.toString('base64'));
    });
  }

  it('no fall-back stands in for one that was disabled, though KMS is down by now', async () => {
    const clock = new ManualClock(Date.now());
    lab = await KmsLab.start({ clock, settings: { totalTimeoutMs: 100 } });
    const backend = await lab.connect('kms-sign', lab.openKms({ totalTimeoutMs: 30_000 }));
    const made = await backend.create(identity('ed25519'), 'intent-1', 'now');
    const opened = await (await lab.connect('kms-sign')).open(stored(identity('ed25519'), made));
    assert.ok(opened.kind === 'open');
    const standsIn = async () =>
      await opened.signer.sign(OCTETS).then(
        () => assert.fail('it signed'),
        (error: unknown) => (error instanceof KmsSigningError ? error.substitute : error),
      );
    const { faults } = lab.server.region();
    faults.inject(KMS_EFFECTS.internal, { times: 1 });
    assert.equal(await standsIn(), 'fallback', 'nothing is known against it');
    faults.inject(KMS_EFFECTS.disabled, { times: 1 });
    assert.equal(await standsIn(), 'predecessor');
    clock.advance(5000); // it may be asked again
    faults.inject(KMS_EFFECTS.internal, { times: 1 });
    assert.equal(await standsIn(), 'predecessor');
    clock.advance(5000);
    await opened.signer.sign(OCTETS);
    faults.inject(KMS_EFFECTS.internal, { times: 1 });
    assert.equal(await standsIn(), 'fallback', 'somebody has enabled it');
  });

  it('takes no private key from outside, and says why', async () => {
    lab = await KmsLab.start();
    const backend = await lab.connect('kms-sign');
    const { privateKey } = generateKeyPairSync('ed25519');
    await assert.rejects(backend.keep(identity('ed25519'), privateKey), /from outside/);
  });
});
