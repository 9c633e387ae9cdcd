import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { describeForImport } from '../../../../src/keys/kms/describe-for-import.ts';
import { Kms } from '../../../../src/keys/kms/kms.ts';
import { KmsLab } from '../../../support/kms/kms-lab.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { build } from '../../config/build.ts';

describe('KMS for one process', () => {
  let lab: KmsLab;
  afterEach(() => lab?.stop());

  it('logs the calls so far each hour and at the end, and nothing where there were none', async () => {
    const clock = new ManualClock();
    lab = await KmsLab.start({ clock });
    const kms = lab.openKms();
    clock.advance(3_600_000);
    assert.deepEqual(lab.counts, []);
    await describeForImport(kms, lab.wrappingKey);
    clock.advance(3_600_000);
    await describeForImport(kms, lab.wrappingKey);
    await assert.rejects(describeForImport(kms, lab.wrappingKey.replace(/.{12}$/, '0'.repeat(12))));
    await kms.close();
    assert.deepEqual(lab.counts, [
      { calls: { DescribeKey: 1 }, failures: {} },
      { calls: { DescribeKey: 3 }, failures: { 'not-found': 1 } },
    ]);
    assert.equal(clock.waiting, 0);
  });

  it("takes the SDK's own Region when none is configured, and says so when there is none", async () => {
    lab = await KmsLab.start();
    const before = process.env.AWS_REGION;
    try {
      process.env.AWS_REGION = 'ap-southeast-2';
      assert.deepEqual(await lab.openKms({ regions: [] }).regions(), ['ap-southeast-2']);
      delete process.env.AWS_REGION;
      process.env.AWS_CONFIG_FILE = '/nonexistent';
      await assert.rejects(
        lab.openKms({ regions: [] }).regions(),
        /set kms\.regions, or AWS_REGION/,
      );
    } finally {
      delete process.env.AWS_CONFIG_FILE;
      if (before === undefined) delete process.env.AWS_REGION;
      else process.env.AWS_REGION = before;
    }
  });

  it('uses a key where it is, the configured Regions first', async () => {
    const settings = { ...build('').config.kms, regions: ['eu-west-1', 'eu-central-1'] };
    const log = { warning: () => undefined, kmsCalls: () => undefined };
    const kms = new Kms(settings, { clock: new ManualClock(), log });
    const multi = `arn:aws:kms:us-east-1:111122223333:key/mrk-${'0a'.repeat(16)}`;
    const single = 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
    assert.deepEqual(kms.regionsOf(single), ['us-east-1']);
    assert.deepEqual(kms.regionsOf(multi, ['us-east-1', 'eu-central-1', 'us-west-2']), [
      'eu-central-1',
      'us-east-1',
      'us-west-2',
    ]);
    assert.deepEqual(kms.regionsOf(multi), ['eu-west-1', 'eu-central-1', 'us-east-1']);
    assert.deepEqual(kms.regionsOf('alias/x'), []);
    await kms.close();
  });

  it('describes keys for an import, also those that cannot be used', async () => {
    lab = await KmsLab.start();
    const kms = lab.openKms();
    const backend = await lab.connect('kms-sign', kms);
    const identity = { domain: 'example.com', selector: 's', algorithm: 'rsa2048' };
    const { publicKey, material } = await backend.create(identity, 'i', 'now');
    const arn = material?.arn ?? '';
    const facts = await describeForImport(kms, arn);
    assert.deepEqual(
      [facts.arn, facts.spec, facts.usage, facts.state, facts.regions],
      [arn, 'RSA_2048', 'SIGN_VERIFY', 'Enabled', ['eu-central-1']],
    );
    const spki = createPublicKey({ key: facts.publicKeySpki, type: 'spki', format: 'der' });
    assert.ok(spki.equals(publicKey));
    lab.server.account.keysIn('eu-central-1').at(-1)!.state = 'Disabled';
    const disabled = await describeForImport(kms, arn);
    assert.deepEqual([disabled.state, disabled.publicKeySpki.length], ['Disabled', 0]);
    assert.equal((await describeForImport(kms, lab.wrappingKey)).usage, 'ENCRYPT_DECRYPT');
  });
});
