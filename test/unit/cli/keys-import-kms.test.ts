import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type FakeDns, startDns } from '../../support/dns.ts';
import { type KeyringPlace, makeKeyringPlace, removeKeyringPlace } from '../../support/keyring.ts';
import { KmsLab } from '../../support/kms/kms-lab.ts';
import { runKeysCommandLine } from '../../support/run-keys.ts';

describe('keys import with AWS KMS', () => {
  let lab: KmsLab;
  let place: KeyringPlace;
  let dns: FakeDns;

  beforeEach(async () => {
    lab = await KmsLab.start();
    place = await makeKeyringPlace();
    dns = await startDns();
  });
  afterEach(async () => {
    await dns.close();
    await removeKeyringPlace(place);
    await lab.stop();
  });

  async function keys(...args: readonly string[]) {
    return await runKeysCommandLine(args, async () => ({
      keys: place,
      kms: lab.settings,
      dns: { servers: [dns.server], timeoutMs: 1000, attempts: 1 },
    }));
  }

  async function keyInKms(algorithm = 'rsa2048'): Promise<string> {
    const backend = await lab.connect('kms-sign');
    const identity = { domain: 'elsewhere.example', selector: 'x', algorithm };
    return (await backend.create(identity, 'intent', 'now')).material?.arn ?? '';
  }

  for (const algorithm of ['rsa2048', 'ed25519']) {
    it(`takes a key of KMS by its ARN: ${algorithm}`, async () => {
      const arn = await keyInKms(algorithm);
      const { code, err, out } = await keys(
        ...['import', 'example.com', '--selector', 'mail', '--arn', arn, '--json'],
      );
      assert.equal(code, 0, err);
      const [key] = JSON.parse(out).keys;
      assert.equal(key.backend, 'kms-sign');
      assert.equal(key.material.arn, arn);
      assert.equal(key.algorithm, algorithm);
    });
  }

  it('refuses a key that is disabled, and one that is not there', async () => {
    const arn = await keyInKms();
    const backend = await lab.connect('kms-sign');
    const key = { domain: 'x.example', selector: 'x', algorithm: 'rsa2048', publicKey: '' };
    await backend.disable({ ...key, material: { arn } });
    const disabled = await keys('import', 'example.com', '--selector', 'mail', '--arn', arn);
    assert.equal(disabled.code, 3);
    assert.match(disabled.err, /is Disabled\nhint: enable it/);
    const gone = arn.replace(/[0-9a-f]{12}$/, '000000000000');
    const absent = await keys('import', 'example.com', '--selector', 'mail', '--arn', gone);
    assert.equal(absent.code, 3, absent.err);
    assert.match(absent.err, /there is no KMS key/);
  });

  it('refuses the wrapping key, which is not for signing', async () => {
    const { code, err } = await keys(
      ...['import', 'example.com', '--selector', 'mail', '--arn', lab.wrappingKey],
    );
    assert.equal(code, 3, err);
    assert.match(err, /not for signing/);
  });

  it('wraps a PEM for kms-envelope, and refuses it for kms-sign with the reason', async () => {
    const pem = path.join(place.root, 'key.pem');
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await writeFile(pem, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const one = ['import', 'example.com', pem, '--selector', 'mail', '--backend'];
    const wrapped = await keys(...one, 'kms-envelope');
    assert.equal(wrapped.code, 0, wrapped.err);
    assert.match(wrapped.out, /mail {2}rsa2048 {2}kms-envelope/);
    const refused = await keys('import', 'other.example', ...one.slice(2), 'kms-sign');
    assert.equal(refused.code, 3);
    assert.match(refused.err, /from outside/);
  });
});
