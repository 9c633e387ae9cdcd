import assert from 'node:assert/strict';
import { KMS_EFFECTS } from '../support/kms/kms-faults.ts';
import { KmsMailLab } from '../support/kms/kms-mail-lab.ts';
import { waitFor } from '../support/wait-for.ts';

describe('waxseal serve with keys wrapped by KMS (kms-envelope)', function () {
  this.timeout(60_000);
  let lab: KmsMailLab;
  afterEach(() => lab?.stop());

  const start = async (settings = {}) => {
    lab = await KmsMailLab.start(settings);
    await lab.addKey('kms-envelope', 'signer.test', 'rsa2048');
    await lab.addKey('kms-envelope', 'signer.test', 'ed25519');
    await lab.reload();
  };

  it('asks KMS once for each key, and signs without it', async () => {
    await start();
    assert.equal(lab.kms.server.count('Decrypt'), 2);
    await lab.kms.server.region().close();
    assert.match(await lab.send('signer.test'), /^250 /);
    const { verdicts, selectors } = await lab.verdicts();
    assert.deepEqual(verdicts, ['pass', 'pass']);
    assert.deepEqual(selectors.sort(), ['kms-envelope-e2', 'kms-envelope-r1']);
  });

  it('a reload keeps what is decrypted, with KMS down too', async () => {
    await start();
    await lab.reload();
    await lab.reload();
    assert.equal(lab.kms.server.count('Decrypt'), 2);
    await lab.kms.server.region().close();
    await lab.reload();
    assert.match(await lab.send('signer.test'), /^250 /);
  });

  it('a restart with KMS down serves the others, and the rest when KMS is back', async () => {
    await start({ attemptTimeoutMs: 1000, totalTimeoutMs: 2500 });
    await lab.kms.server.region().close();
    await lab.restart();
    assert.match(await lab.send('signer.test'), /^451 4\.7\.5 .*\[waxseal signing\.key /);
    assert.equal(lab.contentBytes, 0);
    assert.match(await lab.send('file.test'), /^250 /);
    await lab.kms.server.region().listen();
    await lab.sendUntilAccepted('signer.test');
    assert.deepEqual((await lab.verdicts()).verdicts, ['pass', 'pass']);
    assert.ok(lab.alerts.some((text) => /signer\.test, .* can be used now/.test(text)));
  });

  it('access that comes later is found by itself', async () => {
    await start();
    lab.kms.server.conditions.push(({ operation }) => operation !== 'Decrypt');
    await lab.restart();
    assert.match(await lab.send('signer.test'), /^451 4\.7\.5 /);
    lab.kms.server.conditions.length = 0;
    await lab.sendUntilAccepted('signer.test');
  });

  it('needs no more than a policy that names its domain in the encryption context', async () => {
    await start();
    await lab.addKey('kms-envelope', 'other.test', 'ed25519');
    // kms:EncryptionContext:domain
    lab.kms.server.conditions.push(
      ({ operation, context }) => operation === 'Decrypt' && context.domain === 'signer.test',
    );
    await lab.restart();
    assert.match(await lab.send('signer.test'), /^250 /);
    assert.match(await lab.send('other.test'), /^451 4\.7\.5 /);
  });

  it('a wrong context defers that domain, and no other', async () => {
    await start();
    await lab.addKey('kms-envelope', 'other.test', 'ed25519');
    lab.kms.server
      .region()
      .faults.inject(KMS_EFFECTS.wrongContext, { operation: 'Decrypt', times: 1 });
    await lab.reload();
    // The reload that would have brought a key that does not open is refused for no other domain.
    assert.match(await lab.send('signer.test'), /^250 /);
    await lab.sendUntilAccepted('other.test');
    await waitFor('its Decrypt', () => lab.kms.server.count('Decrypt') >= 4);
  });
});
