import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { KeyBackend } from '../../../src/keys/backend.ts';
import { keyringAccess } from '../../../src/keys/keyring-access.ts';
import { type KeyringPlace, makeKeyringPlace, removeKeyringPlace } from '../../support/keyring.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const IDENTITY = { domain: 'example.com', selector: 'wx202611e1', algorithm: 'ed25519' };

describe('private keys in files', () => {
  let place: KeyringPlace;
  let backend: KeyBackend;
  const file = () => path.join(place.dir, 'private', 'example.com', 'wx202611e1.key');

  beforeEach(async () => {
    place = await makeKeyringPlace();
    backend = await keyringAccess(place, new ManualClock()).connect('file', 'make-if-first');
  });
  afterEach(async () => await removeKeyringPlace(place));

  it('are never replaced by a command that slept while another one made the key', async () => {
    await backend.create(IDENTITY, 'one', 'now');
    const before = await readFile(file());
    await assert.rejects(backend.create(IDENTITY, 'two', 'now'), { code: 'key-file-in-the-way' });
    assert.deepEqual(await readFile(file()), before);
  });

  it('that a killed command made are taken up, and not made anew', async () => {
    const first = await backend.create(IDENTITY, 'one', 'now');
    const again = await backend.create(IDENTITY, 'one', 'perhaps-before');
    assert.ok(again.publicKey.equals(first.publicKey));
    await writeFile(file(), 'damaged');
    await assert.rejects(backend.create(IDENTITY, 'one'), { code: 'key-file-in-the-way' });
    assert.equal(await readFile(file(), 'utf8'), 'damaged');
  });
});
