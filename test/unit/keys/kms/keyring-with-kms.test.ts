import assert from 'node:assert/strict';
import type { BackendName } from '../../../../src/keys/backend-names.ts';
import { domainEntry } from '../../../../src/keys/import/take-over.ts';
import type { KeyState } from '../../../../src/keys/key-state.ts';
import { type Keyring, loadKeyring } from '../../../../src/keys/keyring.ts';
import { KeyringHolder } from '../../../../src/keys/keyring-holder.ts';
import { Kms } from '../../../../src/keys/kms/kms.ts';
import { FileKeyringStore } from '../../../../src/keys/store/file-store.ts';
import { KeyProbes } from '../../../../src/keys/store/key-probes.ts';
import {
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
} from '../../../support/keyring.ts';
import { KMS_EFFECTS } from '../../../support/kms/kms-faults.ts';
import { KmsLab, stored } from '../../../support/kms/kms-lab.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { waitFor } from '../../../support/wait-for.ts';

const QUIET = { warning: () => undefined, kmsCalls: () => undefined };

describe('keyring with keys in KMS', function () {
  this.timeout(30_000);
  let lab: KmsLab;
  let place: KeyringPlace;
  let kms: Kms;
  const closing: Kms[] = [];

  beforeEach(async () => {
    place = await makeKeyringPlace();
    lab = await KmsLab.start({ settings: { totalTimeoutMs: 500 } });
    kms = lab.openKms();
  });
  afterEach(async () => {
    for (const one of closing.splice(0)) await one.close();
    await lab.stop();
    await removeKeyringPlace(place);
  });

  const add = async (
    domain: string,
    backend: BackendName,
    state: KeyState = 'active',
    algorithm = 'ed25519',
  ) => {
    const connected = await lab.connect(backend, lab.openKms({ totalTimeoutMs: 30_000 }));
    const store = new FileKeyringStore(place.dir);
    await store.change(async (current) => {
      const entry = domainEntry(current, domain);
      const selector = `s${entry.keys.length + 1}`;
      const identity = { domain, selector, algorithm };
      const { publicKey, material } = stored(
        identity,
        await connected.create(identity, 'i', 'now'),
      );
      const now = '2026-11-21T09:00:00.000Z';
      const key = {
        selector,
        algorithm,
        backend,
        state,
        publicKey,
        ttlS: 3600,
        createdAt: now,
        activatedAt: state === 'active' ? now : undefined,
        retiringSince: undefined,
        material,
      };
      return { domain: { ...entry, keys: [...entry.keys, key] }, result: undefined };
    });
  };
  const load = (with_: Kms = kms): Promise<Keyring> =>
    loadKeyring({ dir: place.dir, masterKeyFile: place.masterKeyFile, kms: with_ });
  const keysOf = (keyring: Keyring, domain: string) => {
    const answer = keyring.keysFor(domain);
    return answer.kind === 'keys' ? answer.keys : [];
  };

  it('is at fault as a whole while KMS is down, and not any more when it is back', async () => {
    await add('one.test', 'kms-envelope');
    await add('two.test', 'kms-envelope');
    lab.server.region().faults.inject(KMS_EFFECTS.internal, { operation: 'Decrypt' });
    const keyring = await load();
    assert.match(keyring.fault ?? '', /KMS/);
    assert.deepEqual([...keyring.broken.keys()].sort(), ['one.test', 'two.test']);
    assert.equal(keyring.warnings.filter((text) => /cannot be signed/.test(text)).length, 2);
    lab.server.region().faults.clear();
    await waitFor('both keys', () => keyring.broken.size === 0);
    assert.equal(keyring.fault, undefined);
    for (const domain of ['one.test', 'two.test']) assert.equal(keysOf(keyring, domain).length, 1);
  });

  it('one key that does not open concerns its domain alone', async () => {
    await add('one.test', 'kms-envelope');
    await add('two.test', 'kms-envelope');
    lab.server.conditions.push(({ context }) => context.domain !== 'one.test');
    const keyring = await load();
    assert.equal(keyring.fault, undefined);
    assert.equal(keyring.keysFor('one.test').kind, 'unusable');
    assert.equal(keysOf(keyring, 'two.test').length, 1);
  });

  it('a reload with KMS down takes what is open from before, and refuses what would be worse', async () => {
    await add('one.test', 'kms-envelope');
    const options = { dir: place.dir, masterKeyFile: place.masterKeyFile, kms };
    const holder = new KeyringHolder(options);
    assert.equal((await holder.reload()).kind, 'loaded');
    await add('two.test', 'kms-envelope');
    await lab.server.region().close();
    const reloaded = await holder.reload();
    assert.equal(reloaded.kind, 'loaded');
    assert.equal(holder.keysFor('one.test').kind, 'keys');
    assert.equal(holder.keysFor('two.test').kind, 'unusable');
    assert.equal(holder.fault, undefined);
    await lab.server.region().listen();
    await waitFor('the new key', () => holder.keysFor('two.test').kind === 'keys');
  });

  it('a permission for a key that stands by is tried once a day, and seen to be lost', async () => {
    const clock = new ManualClock(Date.parse('2026-11-21T09:00:00Z'));
    await add('one.test', 'kms-sign');
    await add('one.test', 'kms-sign', 'verified');
    const options = { dir: place.dir, masterKeyFile: place.masterKeyFile, kms, clock };
    const holder = new KeyringHolder(options);
    assert.equal((await holder.reload()).kind, 'loaded');
    const lost: string[] = [];
    const probes = new KeyProbes({
      ...{ holder, clock, random: () => 0.5 },
      onLost: ({ selector }) => lost.push(selector),
    });
    const probed = async (hours: number) => {
      clock.advance(hours * 3_600_000);
      await probes.run(() => false);
      return [...probes.results()].map(({ selector, usable }) => ({ selector, usable }));
    };
    assert.deepEqual(await probed(0), [{ selector: 's2', usable: true }]);
    for (const _ of [1, 2, 3]) await probed(7);
    assert.equal(kms.counts.calls.Sign, 1);
    lab.server.conditions.push(() => false);
    assert.deepEqual(await probed(3), [{ selector: 's2', usable: false }]);
    assert.equal(kms.counts.calls.Sign, 2);
    assert.deepEqual(lost, ['s2']);
  });

  it('a key that KMS is slow to open holds up no revocation, and signs when it is open', async () => {
    const clock = new ManualClock(Date.parse('2026-11-21T09:00:00Z'));
    await add('one.test', 'kms-envelope');
    const settings = { ...lab.settings, totalTimeoutMs: 30_000 };
    const slow = new Kms(settings, { clock, log: QUIET });
    closing.push(slow);
    const options = { dir: place.dir, masterKeyFile: place.masterKeyFile, kms: slow, clock };
    const holder = new KeyringHolder(options);
    assert.equal((await holder.reload()).kind, 'loaded');
    await add('two.test', 'kms-envelope');
    lab.server.region().faults.inject(KMS_EFFECTS.silence, { operation: 'Decrypt' });
    // A second for a look, and not the five that a call to Decrypt has.
    const look = async () => {
      let isOver = false;
      const looking = holder.refresh(false).finally(() => {
        isOver = true;
      });
      await waitFor(
        'the slow call, or the timer',
        () => slow.counts.calls.Decrypt === 2 && clock.waiting > 2,
      );
      clock.advance(1000);
      await waitFor('the end of the look', () => isOver, 5000);
      return await looking;
    };
    const reload = await look();
    assert.ok(reload?.kind === 'loaded');
    assert.equal(holder.keysFor('two.test').kind, 'unusable');
    const store = new FileKeyringStore(place.dir);
    await store.change(async (current) => {
      const entry = domainEntry(current, 'one.test');
      const keys = entry.keys.map((key) => ({ ...key, state: 'revoked' as const }));
      return { domain: { ...entry, keys }, result: undefined };
    });
    await look();
    assert.equal(holder.keysFor('one.test').kind, 'unusable');
    lab.server.region().faults.clear();
    await waitFor('the slow key', () => {
      clock.advance(1000);
      return holder.keysFor('two.test').kind === 'keys';
    });
    assert.equal(slow.counts.calls.Decrypt, 3, 'each attempt once');
  });

  it('opens kms-sign keys without asking anybody', async () => {
    await add('one.test', 'kms-sign');
    await lab.server.region().close();
    const keyring = await load();
    assert.equal(keysOf(keyring, 'one.test')[0]?.signer.remote, true);
  });

  it('without KMS at hand its keys cannot be used, and that is said', async () => {
    await add('one.test', 'kms-sign');
    const { dir, masterKeyFile } = place;
    await assert.rejects(loadKeyring({ dir, masterKeyFile }), /keys in KMS cannot be used/);
  });

  describe('fall-back keys', () => {
    it('stand in for a kms-sign key of their family when they are verified', async () => {
      await add('one.test', 'kms-sign', 'active', 'rsa2048');
      await add('one.test', 'kms-sign', 'active', 'ed25519');
      await add('one.test', 'kms-envelope', 'verified', 'rsa2048');
      const keyring = await load(lab.openKms({ fallback: true }));
      const found = keysOf(keyring, 'one.test').map(({ selector, fallback }) => [
        selector,
        fallback?.selector,
      ]);
      assert.deepEqual(found, [
        ['s1', 's3'],
        ['s2', undefined],
      ]);
    });

    it('are not even opened where nobody asked for them', async () => {
      await add('one.test', 'kms-sign', 'active', 'rsa2048');
      await add('one.test', 'kms-envelope', 'verified', 'rsa2048');
      const keyring = await load();
      assert.equal(keysOf(keyring, 'one.test')[0]?.fallback, undefined);
      assert.equal(lab.server.count('Decrypt'), 0);
    });

    it('do not stand in before their record is verified, nor for other back ends', async () => {
      await add('one.test', 'kms-sign', 'active', 'rsa2048');
      await add('one.test', 'kms-envelope', 'published', 'rsa2048');
      await add('two.test', 'kms-envelope', 'active', 'rsa2048');
      await add('two.test', 'kms-envelope', 'verified', 'rsa2048');
      const keyring = await load(lab.openKms({ fallback: true }));
      for (const domain of ['one.test', 'two.test']) {
        const keys = keysOf(keyring, domain);
        assert.deepEqual(
          keys.map(({ fallback }) => fallback),
          [undefined],
          domain,
        );
      }
    });

    it('that do not open leave the main key as it is', async () => {
      await add('one.test', 'kms-sign', 'active', 'rsa2048');
      await add('one.test', 'kms-envelope', 'verified', 'rsa2048');
      lab.server.region().faults.inject(KMS_EFFECTS.accessDenied, { operation: 'Decrypt' });
      const keyring = await load(lab.openKms({ fallback: true }));
      assert.equal(keyring.fault, undefined);
      assert.equal(keysOf(keyring, 'one.test').length, 1);
      lab.server.region().faults.clear();
      await waitFor('the fall-back', () => keysOf(keyring, 'one.test')[0]?.fallback !== undefined);
    });
  });
});
