import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { revealKeys } from '../../../src/cli/keys-reveal.ts';
import { type KeyringAccess, keyringAccess } from '../../../src/keys/keyring-access.ts';
import {
  addKeys,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
} from '../../support/keyring.ts';
import { ManualClock } from '../../support/manual-clock.ts';

describe('--reveal', () => {
  let place: KeyringPlace;
  let access: KeyringAccess;
  const clock = new ManualClock(Date.parse('2026-11-25T09:00:00Z'));

  beforeEach(async () => {
    place = await makeKeyringPlace();
    access = keyringAccess(place, clock);
    await addKeys(access, 'example.com', ['ed25519', 'ed25519']);
    const revokedAt = new Date(clock.wallMs()).toISOString();
    await access.store.change(async ({ domains }) => {
      const entry = domains.get('example.com')!;
      const keys = entry.keys.map((key) => ({ ...key, state: 'revoked', revokedAt }) as const);
      return { domain: { ...entry, keys }, result: undefined };
    });
  });
  afterEach(async () => await removeKeyringPlace(place));

  async function reveal(directory: string, json = false) {
    let out = '';
    const stdout = (text: string) => {
      out += text;
    };
    const nothing = () => {};
    const loadConfig = () => Promise.reject(new Error('not loaded here'));
    const context = { stdout, stderr: nothing, isTty: false, loadConfig, setExitCode: nothing };
    const selectors = ['wx202611e1', 'wx202611e2'];
    const code = await revealKeys({ context, access, json }, 'example.com', selectors, directory);
    return { code, out };
  }

  it('says until when it waits, then where the keys are', async () => {
    const directory = path.join(place.root, 'revealed');
    const early = await reveal(directory);
    assert.equal(early.code, 4);
    assert.match(early.out, /e1: caches may hold its record until 2026-11-25T10:00:00\.000Z\n/);
    clock.advance(3_600_000);
    const done = await reveal(directory, true);
    assert.equal(done.code, 0);
    assert.deepEqual(
      JSON.parse(done.out).revealed.map(({ kind }: { kind: string }) => kind),
      ['revealed', 'revealed'],
    );
    assert.deepEqual(await readdir(directory), [
      'wx202611e1.example.com.pem',
      'wx202611e2.example.com.pem',
    ]);
  });

  it('is refused where it is off', async () => {
    await assert.rejects(reveal(''), { code: 'key-reveal-off' });
  });
});
