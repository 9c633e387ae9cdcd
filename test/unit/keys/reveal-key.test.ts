import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { importKey } from '../../../src/keys/import/import-key.ts';
import { type KeyringAccess, keyringAccess } from '../../../src/keys/keyring-access.ts';
import { sharedKeys } from '../../../src/keys/lifecycle/shared-keys.ts';
import type { ManifestKey } from '../../../src/keys/manifest.ts';
import { type RevealKeyRequest, type Revelation, revealKey } from '../../../src/keys/reveal-key.ts';
import { sharersOf } from '../../../src/keys/shared-keys.ts';
import {
  addKeys,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
} from '../../support/keyring.ts';
import { ManualClock } from '../../support/manual-clock.ts';

/** When all name servers showed the empty `p=`. */
const SEEN_AT = '2026-11-25T09:00:00.000Z';
const SELECTOR = 'wx202611e1';

describe('revealing a revoked key', () => {
  let place: KeyringPlace;
  let clock: ManualClock;
  let access: KeyringAccess;
  let directory: string;
  let key: ManifestKey;

  beforeEach(async () => {
    place = await makeKeyringPlace();
    clock = new ManualClock(Date.parse(SEEN_AT));
    access = keyringAccess(place, clock);
    directory = path.join(place.root, 'revealed', 'keys');
    key = (await addKeys(access, 'example.com')).added[0]!;
  });
  afterEach(async () => await removeKeyringPlace(place));

  async function setState(
    state: ManifestKey['state'],
    domain = 'example.com',
    publisher: string | undefined = 'rfc2136',
  ): Promise<void> {
    await access.store.change(async ({ domains }) => {
      const entry = domains.get(domain)!;
      const keys = entry.keys.map((one) => ({ ...one, state, revokedAt: SEEN_AT, publisher }));
      return { domain: { ...entry, keys }, result: undefined };
    });
  }

  /** Revoked, and `p=` not seen yet. */
  async function unsee(): Promise<void> {
    await access.store.change(async ({ domains }) => {
      const entry = domains.get('example.com')!;
      const keys = entry.keys.map((one) => ({ ...one, revokedAt: undefined }));
      return { domain: { ...entry, keys }, result: undefined };
    });
  }

  const reveal = async (changes: Partial<RevealKeyRequest> = {}): Promise<Revelation> =>
    await revealKey(access, {
      domain: 'example.com',
      selector: SELECTOR,
      directory,
      ...changes,
    });

  it('waits for a day where a person wrote the record: nobody knows with which TTL', async () => {
    await setState('revoked', 'example.com', 'print');
    clock.advance(86_399_999);
    assert.deepEqual(await reveal(), { kind: 'waiting', until: '2026-11-26T09:00:00.000Z' });
    clock.advance(1);
    assert.equal((await reveal()).kind, 'revealed');
  });

  it('waits for the TTL of the record, then writes a PEM that anybody may read', async () => {
    await setState('revoked');
    clock.advance(3_599_999);
    assert.deepEqual(await reveal(), { kind: 'waiting', until: '2026-11-25T10:00:00.000Z' });
    await assert.rejects(readdir(directory), { code: 'ENOENT' });
    clock.advance(1);
    const file = path.join(directory, `${SELECTOR}.example.com.pem`);
    assert.deepEqual(await reveal(), { kind: 'revealed', file });
    assert.equal((await stat(file)).mode & 0o777, 0o644);
    const spki = createPublicKey(createPrivateKey(await readFile(file))).export({
      type: 'spki',
      format: 'der',
    });
    assert.equal(spki.subarray(-32).toString('base64'), key.publicKey);
    assert.deepEqual(await reveal(), { kind: 'revealed', file });
    assert.deepEqual(await readdir(directory), [path.basename(file)]);
  });

  for (const state of ['created', 'published', 'verified', 'active', 'retiring'] as const) {
    it(`refuses a key that is ${state}`, async () => {
      await setState(state);
      clock.advance(10 * 86_400_000);
      await assert.rejects(reveal(), { code: 'key-state', message: /not revoked/ });
      await assert.rejects(readdir(directory), { code: 'ENOENT' });
    });
  }

  it('refuses when it is off, when p= was not seen, and what is not there', async () => {
    await setState('revoked');
    clock.advance(86_400_000);
    await assert.rejects(reveal({ directory: undefined }), { code: 'key-reveal-off' });
    await assert.rejects(reveal({ selector: 'other' }), { code: 'key-selector-unknown' });
    await unsee();
    await assert.rejects(reveal(), { code: 'key-revocation-not-seen' });
    await setState('destroyed');
    await assert.rejects(reveal(), { code: 'key-state', message: /erased/ });
  });

  it('refuses where the back end never gives a private key out', async () => {
    await setState('revoked');
    clock.advance(86_400_000);
    const connected = await access.connect('file', 'must-exist');
    access = {
      ...access,
      connect: async () =>
        new Proxy(connected, {
          get: (target, name) => (name === 'reveal' ? undefined : Reflect.get(target, name)),
        }),
    };
    await assert.rejects(reveal(), { code: 'key-not-revealable', message: /never gives/ });
  });

  it('names a directory that cannot be written, and a private key that is lost', async () => {
    await setState('revoked');
    clock.advance(86_400_000);
    await writeFile(path.join(place.root, 'file'), '');
    const inTheWay = path.join(place.root, 'file', 'below');
    await assert.rejects(reveal({ directory: inTheWay }), { code: 'key-unwritable' });
    await rm(path.join(place.dir, 'private', 'example.com', `${SELECTOR}.key`));
    await assert.rejects(reveal(), { code: 'key-unusable' });
  });

  describe('that domains share', () => {
    beforeEach(async () => {
      await setState('revoked');
      clock.advance(86_400_000);
      const connected = await access.connect('file', 'must-exist');
      const pem = (await connected.reveal!({ domain: 'example.com', ...key })).export({
        type: 'pkcs8',
        format: 'pem',
      });
      const pemFile = path.join(place.root, 'key.pem');
      await writeFile(pemFile, pem);
      const options = { subdomains: undefined, ttlS: 3600 };
      await importKey(access, { domain: 'example.net', selector: 'mail', pemFile, ...options });
    });

    it('is not revealed before it is revoked in each of them', async () => {
      await assert.rejects(reveal(), { code: 'key-shared', message: /example\.net/ });
      await setState('revoked', 'example.net');
      assert.equal((await reveal()).kind, 'revealed');
    });

    it('is found by its public key; copies are given up one by one, an ARN with the last', async () => {
      const snapshot = await access.store.read();
      const sharers = sharersOf(snapshot, 'example.com', key);
      assert.deepEqual(
        sharers.map(({ domain }) => domain),
        ['example.net'],
      );
      assert.ok(!sharedKeys(snapshot)('example.com', key), 'each domain has a copy of its own');
      const material = { arn: 'arn:aws:kms:eu-west-1:111122223333:key/x' };
      const domains = new Map(
        ['example.com', 'example.net'].map((domain) => [
          domain,
          { domain, subdomains: false, keys: [{ ...key, material }] },
        ]),
      );
      const replica = { arn: material.arn.replace('eu-west-1', 'eu-central-1') };
      const other = { ...key, material: replica };
      domains.set('example.net', { domain: 'example.net', subdomains: false, keys: [other] });
      const isShared = sharedKeys({ domains });
      assert.ok(isShared('example.com', { ...key, material }));
      assert.ok(!isShared('example.net', other), 'the last one takes the key along');
      const destroyed = { ...other, state: 'destroyed' as const };
      domains.set('example.net', { domain: 'example.net', subdomains: false, keys: [destroyed] });
      assert.ok(!sharedKeys({ domains })('example.com', { ...key, material }));
    });
  });
});
