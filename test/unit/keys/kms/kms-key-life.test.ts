import assert from 'node:assert/strict';
import type { KeyBackend, StoredKey } from '../../../../src/keys/backend.ts';
import { BACKENDS } from '../../../../src/keys/backends.ts';
import { KeysRefusal } from '../../../../src/keys/keys-error.ts';
import type { Kms } from '../../../../src/keys/kms/kms.ts';
import { KMS_EFFECTS } from '../../../support/kms/kms-faults.ts';
import { KmsLab, stored } from '../../../support/kms/kms-lab.ts';
import { scaledClock } from '../../../support/kms/scaled-clock.ts';

const DAY_MS = 86_400_000;
const HOME = 'eu-central-1';
const AWAY = 'eu-west-1';
const IDENTITY = { domain: 'example.com', selector: 'wx202611e1', algorithm: 'ed25519' };

/** Making, adopting, disabling, deleting. Polling takes seconds, so time runs a hundred times faster. */
describe('life of a key in KMS', function () {
  this.timeout(30_000);
  let lab: KmsLab;
  let kms: Kms;
  let backend: KeyBackend;
  afterEach(() => lab?.stop());

  const start = async (regions: readonly string[] = [HOME]) => {
    const settings = { attemptTimeoutMs: 60_000, totalTimeoutMs: 60_000 };
    lab = await KmsLab.start({ regions, settings, clock: scaledClock(100) });
    kms = lab.openKms();
    backend = await lab.connect('kms-sign', kms);
  };
  const make = async (intent = 'intent-1', begun?: 'now'): Promise<StoredKey> =>
    stored(IDENTITY, await backend.create(IDENTITY, intent, begun));
  const signingKeys = (region = HOME) =>
    lab.server.account.keysIn(region).filter((key) => key.usage === 'SIGN_VERIFY');
  const states = () => [HOME, AWAY].map((region) => signingKeys(region).map(({ state }) => state));
  const order = (...operations: readonly string[]) =>
    lab.server.calls
      .filter(({ operation }) => operations.includes(operation))
      .map(({ operation, region }) => `${operation} ${region}`);

  describe('making', () => {
    it('puts domain, selector and intent into CreateKey itself', async () => {
      await start();
      const key = await make('intent-1', 'now');
      assert.deepEqual(
        lab.server.calls.map(({ operation }) => operation),
        ['CreateKey', 'DescribeKey', 'GetPublicKey'],
      );
      assert.deepEqual(lab.server.calls[0]?.input.Tags, [
        { TagKey: 'waxseal:domain', TagValue: 'example.com' },
        { TagKey: 'waxseal:selector', TagValue: 'wx202611e1' },
        { TagKey: 'waxseal:intent', TagValue: 'intent-1' },
      ]);
      assert.deepEqual(key.material, { arn: signingKeys()[0]?.arn });
    });

    it('adopts the key that an interrupted run made, though lists lag behind', async () => {
      await start();
      lab.server.account.listDelayMs = 5000;
      const first = await make('intent-1', 'now');
      const again = await make('intent-1');
      assert.deepEqual(again, first);
      assert.equal(signingKeys().length, 1);
    });

    it('makes another key for another intent, and for another selector', async () => {
      await start();
      await make('intent-1', 'now');
      await make('intent-2');
      await backend.create({ ...IDENTITY, selector: 'wx202611e2' }, 'intent-1');
      assert.equal(signingKeys().length, 3);
    });

    it('adopts no key that is on its way out', async () => {
      await start();
      const first = await make('intent-1', 'now');
      await backend.destroy(first);
      const second = await make('intent-1');
      assert.notEqual(second.material?.arn, first.material?.arn);
    });

    it('makes one key when CreateKey was carried out and the answer was lost', async () => {
      await start();
      lab.server.region().faults.inject(KMS_EFFECTS.cutAfter, { operation: 'CreateKey', times: 1 });
      lab.server.account.listDelayMs = 3000;
      await make('intent-1', 'now');
      assert.equal(signingKeys().length, 1);
      assert.equal(lab.server.count('CreateKey'), 1);
    });

    it('makes it again when the answer was lost and no key is found', async () => {
      await start();
      lab.server.region().faults.inject(KMS_EFFECTS.internal, { operation: 'CreateKey', times: 1 });
      await make('intent-1', 'now');
      assert.equal(signingKeys().length, 1);
      assert.equal(lab.server.count('CreateKey'), 2);
    });

    it('looks into every key of the account, in pages, and past those it may not see', async () => {
      await start();
      for (let count = 0; count < 1200; count += 1) lab.server.makeWrappingKey();
      const made = await make('intent-1', 'now');
      const denied = lab.server.account.keysIn(HOME)[500]!;
      lab.server.region().faults.inject(KMS_EFFECTS.accessDenied, { keyId: denied.id });
      lab.server.calls.length = 0;
      assert.deepEqual(await make('intent-1'), made);
      assert.equal(lab.server.count('ListKeys'), 2);
      assert.equal(lab.server.region().quotas.throttled, 0, 'paced');
    });

    describe('where the tags of keys may not be read', () => {
      const deny = (where: { operation?: string; keyId?: string } = {}) =>
        lab.server
          .region()
          .faults.inject(KMS_EFFECTS.accessDenied, { operation: 'ListResourceTags', ...where });

      it('makes the first key all the same: nothing is searched for', async () => {
        await start();
        lab.server.makeWrappingKey();
        deny();
        await make('intent-1', 'now');
        assert.equal(signingKeys().length, 1);
        assert.equal(lab.server.count('ListResourceTags'), 0);
        assert.equal(lab.server.count('ListKeys'), 0);
      });

      it('makes no second key for an interrupted run, and names the permission', async () => {
        await start();
        const first = await make('intent-1', 'now');
        deny();
        await assert.rejects(make('intent-1'), (error) => {
          assert.ok(error instanceof KeysRefusal);
          assert.equal(error.code, 'key-tags-hidden');
          assert.match(
            error.message,
            /key of wx202611e1\._domainkey\.example\.com may have been made before/,
          );
          assert.match(error.message, /eu-central-1.*kms:ListResourceTags/);
          assert.match(error.hint ?? '', /grant kms:ListResourceTags .*docs\/kms/);
          return true;
        });
        assert.equal(signingKeys().length, 1);
        assert.equal(lab.server.count('CreateKey'), 1);
        lab.server.region().faults.clear();
        assert.deepEqual(await make('intent-1'), first);
      });

      it('makes no second key when the answer to CreateKey was lost', async () => {
        await start();
        deny();
        const { faults } = lab.server.region();
        faults.inject(KMS_EFFECTS.cutAfter, { operation: 'CreateKey', times: 1 });
        await assert.rejects(make('intent-1', 'now'), { code: 'key-tags-hidden' });
        assert.equal(signingKeys().length, 1);
      });

      it('makes no second key where the tags of the first alone are hidden', async () => {
        await start();
        lab.server.makeWrappingKey();
        await make('intent-1', 'now');
        deny({ keyId: signingKeys()[0]?.id ?? '' });
        await assert.rejects(make('intent-1'), { code: 'key-tags-hidden' });
        assert.equal(signingKeys().length, 1);
      });

      it('makes none where keys may not even be listed', async () => {
        await start();
        await make('intent-1', 'now');
        deny({ operation: 'ListKeys' });
        await assert.rejects(make('intent-1'), {
          code: 'key-tags-hidden',
          message: /kms:ListKeys/,
        });
        assert.equal(signingKeys().length, 1);
      });

      it('passes over keys of others, and of other domains', async () => {
        await start();
        lab.server.makeWrappingKey();
        const other = await backend.create({ ...IDENTITY, domain: 'example.net' }, 'other', 'now');
        deny({ keyId: signingKeys()[0]?.id ?? '' });
        await make('intent-1');
        assert.equal(signingKeys().length, 2);
        assert.match(other.material?.arn ?? '', /^arn:/);
        const [foreign] = lab.server.account.keysIn(HOME);
        lab.server.region().faults.clear();
        lab.server.region().faults.inject(KMS_EFFECTS.accessDenied, { keyId: foreign?.id ?? '' });
        await make('intent-2');
        assert.equal(signingKeys().length, 3);
      });

      it('does not take them for orphans in silence', async () => {
        await start();
        await make('intent-1', 'now');
        deny();
        await assert.rejects(backend.orphans([]), { code: 'key-tags-hidden' });
      });
    });

    it('replicates into each Region, tags each, and waits until they are enabled', async () => {
      await start([HOME, AWAY]);
      lab.server.account.replicaCreatingMs = 4000;
      const key = await make('intent-1', 'now');
      assert.equal(key.material?.regions, `${HOME},${AWAY}`);
      assert.deepEqual(states(), [['Enabled'], ['Enabled']]);
      assert.equal(signingKeys(AWAY)[0]?.tags.get('waxseal:domain'), 'example.com');
    });

    it('does not try for ever to replicate the key of an interrupted run that wished for one Region', async () => {
      await start([HOME, AWAY]);
      const one = { dir: '', masterKeyFile: '', masterKey: 'must-exist', kms } as const;
      const single = await BACKENDS['kms-sign'].connect({ ...one, regions: [HOME] });
      const first = stored(IDENTITY, await single.create(IDENTITY, 'intent-1', 'now'));
      const second = await make('intent-1');
      assert.equal(second.material?.regions, `${HOME},${AWAY}`);
      const [orphan, ...others] = await backend.orphans([second]);
      assert.equal(orphan?.reference, first.material?.arn, 'it is not forgotten');
      assert.deepEqual(others, []);
    });

    it('goes on with a key whose replica is missing', async () => {
      await start([HOME, AWAY]);
      lab.server
        .region()
        .faults.inject(KMS_EFFECTS.accessDenied, { operation: 'ReplicateKey', times: 1 });
      await assert.rejects(make('intent-1', 'now'), { code: 'kms-access-denied' });
      await make('intent-1');
      assert.deepEqual(states(), [['Enabled'], ['Enabled']]);
    });

    it('makes one key for each of many orders at once', async () => {
      await start();
      const identities = Array.from({ length: 20 }, (_item, index) => ({
        ...IDENTITY,
        selector: `wx${index}`,
      }));
      await Promise.all(
        identities.map((identity, index) => backend.create(identity, `${index}`, 'now')),
      );
      assert.equal(signingKeys().length, 20);
    });

    it('waits until all of KMS has heard of the new key', async () => {
      await start();
      const missing = { kind: 'error', type: 'NotFoundException' } as const;
      for (const operation of ['DescribeKey', 'GetPublicKey']) {
        lab.server.region().faults.inject(missing, { operation, times: 2 });
      }
      const key = await make('intent-1', 'now');
      assert.equal((await backend.open(key)).kind, 'open');
    });

    it('refuses algorithms that KMS has not', async () => {
      await start();
      const identity = { ...IDENTITY, algorithm: 'rsa1024' };
      await assert.rejects(backend.create(identity, 'i', 'now'), { code: 'key-algorithm' });
      assert.equal(lab.server.calls.length, 0);
    });
  });

  describe('ending', () => {
    it('disables in every Region, replicas first', async () => {
      await start([HOME, AWAY]);
      const key = await make('intent-1', 'now');
      await backend.disable(key);
      await backend.disable(key);
      assert.deepEqual(states(), [['Disabled'], ['Disabled']]);
      assert.deepEqual(order('DisableKey'), [`DisableKey ${AWAY}`, `DisableKey ${HOME}`]);
    });

    it('disables everywhere before it schedules the deletion, replicas first; again is no error', async () => {
      await start([HOME, AWAY]);
      const key = await make('intent-1', 'now');
      const first = await backend.destroy(key);
      assert.ok(first.kind === 'scheduled');
      assert.deepEqual(order('DisableKey', 'ScheduleKeyDeletion'), [
        `DisableKey ${AWAY}`,
        `DisableKey ${HOME}`,
        `ScheduleKeyDeletion ${AWAY}`,
        `ScheduleKeyDeletion ${HOME}`,
      ]);
      assert.deepEqual(states(), [['PendingReplicaDeletion'], ['PendingDeletion']]);
      const days = (Date.parse(first.until) - kms.clock.wallMs()) / DAY_MS;
      assert.ok(days > 59.9 && days <= 60, `the primary waits for the replica: ${days}`);
      const again = await backend.destroy(key);
      assert.equal(again.kind, 'scheduled');
      assert.equal(lab.server.count('ScheduleKeyDeletion'), 2);
    });

    it('disables where it can when a Region does not answer, and says that it could not there', async () => {
      await start([HOME, AWAY]);
      const key = await make('intent-1', 'now');
      backend = await lab.connect('kms-sign', lab.openKms({ totalTimeoutMs: 5000 }));
      for (const down of [HOME, AWAY]) {
        const up = down === HOME ? AWAY : HOME;
        await lab.server.region(down).close();
        await assert.rejects(backend.disable(key), { code: 'kms-unavailable' });
        assert.deepEqual(
          signingKeys(up).map(({ state }) => state),
          ['Disabled'],
        );
        assert.deepEqual(
          signingKeys(down).map(({ state }) => state),
          ['Enabled'],
        );
        await assert.rejects(backend.destroy(key), { code: 'kms-unavailable' });
        assert.equal(lab.server.count('ScheduleKeyDeletion'), 0);
        await lab.server.region(down).listen();
        for (const one of signingKeys(up)) one.state = 'Enabled';
        backend = await lab.connect('kms-sign', lab.openKms({ totalTimeoutMs: 5000 }));
      }
    });

    it('finds replicas that the manifest does not know', async () => {
      await start([HOME, AWAY]);
      const key = await make('intent-1', 'now');
      await backend.disable({ ...key, material: { arn: key.material!.arn! } });
      assert.deepEqual(states(), [['Disabled'], ['Disabled']]);
    });

    it('uses the configured waiting period', async () => {
      await start();
      const key = await make('intent-1', 'now');
      const short = await lab.connect('kms-sign', lab.openKms({ deletionWindowDays: 7 }));
      const { until } = (await short.destroy(key)) as { until: string };
      assert.ok(Math.abs(Date.parse(until) - kms.clock.wallMs() - 7 * DAY_MS) < 3_600_000);
    });

    it('takes the deletion back in every Region, and enables', async () => {
      await start([HOME, AWAY]);
      const key = await make('intent-1', 'now');
      await backend.destroy(key);
      await backend.cancelDestroy(key);
      assert.deepEqual(states(), [['Enabled'], ['Enabled']]);
      const opened = await backend.open(key);
      assert.ok(opened.kind === 'open');
      await opened.signer.sign(Buffer.from('x'));
    });

    it('is over when the key is gone: destroying it is done, taking it back is refused', async () => {
      await start();
      const key = await make('intent-1', 'now');
      const gone = {
        ...key,
        material: { arn: key.material!.arn!.replace(/.{12}$/, '000000000000') },
      };
      assert.deepEqual(await backend.destroy(gone), { kind: 'done' });
      await backend.disable(gone);
      await assert.rejects(backend.cancelDestroy(gone), { code: 'key-destroyed' });
    });

    it('never touches a wrapping key, whatever a manifest says of it', async () => {
      await start();
      const other = lab.server.makeWrappingKey();
      const envelope = await lab.connect('kms-envelope', kms);
      for (const arn of [lab.wrappingKey, other]) {
        const key: StoredKey = { ...IDENTITY, publicKey: '', material: { arn, wrappingKey: arn } };
        await assert.rejects(backend.disable(key), { code: 'key-not-for-signing' });
        await assert.rejects(backend.destroy(key), { code: 'key-not-for-signing' });
        await envelope.disable(key);
        assert.deepEqual(await envelope.destroy(key), { kind: 'done' });
        await assert.rejects(envelope.cancelDestroy(key), { code: 'key-destroyed' });
      }
      assert.deepEqual(order('DisableKey', 'ScheduleKeyDeletion'), []);
      const wrapping = lab.server.account
        .keysIn(HOME)
        .filter(({ usage }) => usage !== 'SIGN_VERIFY');
      assert.deepEqual(
        wrapping.map(({ state }) => state),
        ['Enabled', 'Enabled'],
      );
    });
  });

  describe('orphans', () => {
    it('are the tagged keys that no manifest lists, each once, and none that is being deleted', async () => {
      await start([HOME, AWAY]);
      const known = await make('intent-1', 'now');
      const orphan = await make('intent-2', 'now');
      await backend.destroy(await make('intent-3', 'now'));
      const found = await backend.orphans([known]);
      assert.equal(found.length, 1);
      const [first] = found;
      assert.equal(first?.reference, orphan.material?.arn);
      assert.equal(first?.domain, 'example.com');
      assert.equal(first?.selector, 'wx202611e1');
      assert.equal(first?.intent, 'intent-2');
      assert.ok(first?.createdAt !== undefined);
    });
  });

  it('opens nothing without an ARN, or with another algorithm, and asks nobody', async () => {
    await start();
    const key = await make('intent-1', 'now');
    lab.server.calls.length = 0;
    for (const wrong of [
      { ...key, material: undefined },
      { ...key, material: { arn: 'arn:aws:kms:eu-central-1:111122223333:alias/x' } },
      { ...key, algorithm: 'rsa1024' },
      { ...key, algorithm: 'rsa2048' },
      { ...key, publicKey: 'AAAA' },
    ]) {
      const opened = await backend.open(wrong);
      assert.ok(opened.kind === 'unusable' && opened.scope === 'key');
    }
    assert.equal((await backend.open(key)).kind, 'open');
    assert.equal(lab.server.calls.length, 0);
  });
});
