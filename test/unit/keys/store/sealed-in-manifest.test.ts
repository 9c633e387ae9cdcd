import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { activateKeys } from '../../../../src/keys/activate-keys.ts';
import { loadKeyring } from '../../../../src/keys/keyring.ts';
import { type KeyringAccess, keyringAccess } from '../../../../src/keys/keyring-access.ts';
import { createMasterKey } from '../../../../src/keys/master-key.ts';
import {
  addKeys,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
  TxtTable,
} from '../../../support/keyring.ts';
import { kubernetesPlace, type TestPlace } from '../../../support/keyring-stores.ts';
import { FakeKubernetes } from '../../../support/kubernetes-api.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

describe('keys under a master key, in a keyring that is no directory', () => {
  let api: FakeKubernetes;
  let remote: TestPlace;
  let files: KeyringPlace;
  let place: KeyringPlace & TestPlace['place'];
  let access: KeyringAccess;

  beforeEach(async () => {
    api = await FakeKubernetes.start();
    remote = kubernetesPlace(api);
    files = await makeKeyringPlace();
    place = { ...files, ...remote.place, dir: files.dir };
    access = keyringAccess(place, new ManualClock(Date.parse('2026-11-21T09:00:00Z')));
  });
  afterEach(async () => {
    await remote.end();
    await api.stop();
    await removeKeyringPlace(files);
  });

  it('are sealed in the manifest, sign, and touch no directory', async () => {
    await createMasterKey(files.masterKeyFile);
    await addKeys(access, 'a.example', ['rsa4096', 'ed25519']);
    await activateKeys(access, { domain: 'a.example', selectors: [], force: true }, new TxtTable());
    const answer = (await loadKeyring(place)).keysFor('a.example');
    assert.ok(answer.kind === 'keys');
    assert.equal(answer.keys.length, 2);
    for (const { signer, signatureBytes } of answer.keys) {
      assert.equal((await signer.sign(Buffer.from('x'))).length, signatureBytes);
    }
    assert.deepEqual(await readdir(files.root), ['secrets']);
  }).timeout(60_000);

  it('need the one master key: none is made, another one opens nothing', async () => {
    await assert.rejects(addKeys(access, 'a.example'), (error: Error & { hint?: string }) => {
      assert.equal((error as { code?: string }).code, 'master-key-missing');
      assert.match(error.hint ?? '', /head -c 32/);
      return true;
    });
    await createMasterKey(files.masterKeyFile);
    await addKeys(access, 'a.example');
    await activateKeys(access, { domain: 'a.example', selectors: [], force: true }, new TxtTable());
    await rm(files.masterKeyFile);
    await createMasterKey(files.masterKeyFile);
    const keyring = await loadKeyring(place);
    assert.match(keyring.fault ?? '', /in the manifest was encrypted under another master key/);
  });

  it('do not open in the place of another', async () => {
    await createMasterKey(files.masterKeyFile);
    await addKeys(access, 'a.example');
    await activateKeys(access, { domain: 'a.example', selectors: [], force: true }, new TxtTable());
    await access.store.change(async ({ domains }) => {
      const entry = domains.get('a.example');
      assert.ok(entry !== undefined);
      return { domain: { ...entry, domain: 'b.example' }, result: 0 };
    });
    const keyring = await loadKeyring(place);
    assert.equal(keyring.keysFor('a.example').kind, 'keys');
    const moved = keyring.keysFor('b.example');
    assert.ok(moved.kind === 'unusable');
    assert.match(moved.reason, /is damaged, or was moved/);
  });
});
