import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { StoreSetting } from '../../src/config/config.ts';
import { kubernetesSetting, type TestPlace, testPlace } from '../support/keyring-stores.ts';
import { requirePeer } from '../support/peers.ts';
import { RealKubernetes } from '../support/real-kubernetes.ts';

/** What the fake API server says of conflicts, versions and rights, the real one must say too. */
describe('keyring in ConfigMaps of a real Kubernetes API server', function () {
  this.timeout(180_000);
  let kubernetes: RealKubernetes | undefined;
  let relay: TestPlace;
  let operator: TestPlace;

  before(async function () {
    this.timeout(180_000);
    const etcd = requirePeer(this, 'etcd');
    const apiServer = requirePeer(this, 'kube-apiserver');
    const helm = requirePeer(this, 'helm');
    const real = await RealKubernetes.start({ etcd, apiServer });
    kubernetes = real;
    await real.makeNamespace('mail');
    await real.applyRights(helm, 'mail', {
      'config.keys.store.kind': 'kubernetes',
      'config.keys.store.kubernetes.name': 'waxseal-keyring',
      'keyring.reports': 'true',
      'keyring.operator.create': 'true',
      'rotation.enabled': 'true',
    });
    await real.makeNamespace('strict');
    await real.applyRights(helm, 'strict', {
      'config.keys.store.kind': 'kubernetes',
      'keyring.reports': 'false',
    });
    relay = await placeOf('mail', 'relay-waxseal');
    operator = await placeOf('mail', 'relay-waxseal-keyring-operator');
  });
  after(async () => {
    await relay?.end();
    await operator?.end();
    await kubernetes?.stop();
  });

  async function placeOf(namespace: string, account: string): Promise<TestPlace> {
    assert.ok(kubernetes !== undefined);
    const tokenFile = await kubernetes.tokenFile(namespace, account);
    const { url: server, caFile } = kubernetes;
    const store: StoreSetting = kubernetesSetting({ server, tokenFile, caFile });
    return testPlace({ dir: '/nowhere', store }, async () => {});
  }

  it('gives one order to the changes of five writers, and readers all of them', async () => {
    await assert.rejects(relay.open().store.read(), { code: 'keyring-missing' });
    const writers = Array.from({ length: 5 }, () => operator.open().store);
    await Promise.all(
      writers.map((store, n) =>
        store.change(async () => ({
          domain: { domain: `d${n}.example`, subdomains: false, keys: [] },
          result: undefined,
        })),
      ),
    );
    const { domains, generation, files } = await relay.open().store.read();
    assert.equal(domains.size, 5);
    assert.equal(generation, 5);
    assert.equal(new Set(files.values()).size, 2);
    const listed = await kubernetes?.request('GET', '/api/v1/namespaces/mail/configmaps');
    const { items } = JSON.parse(listed?.text ?? '') as { items: { metadata: { name: string } }[] };
    const names = items.map(({ metadata }) => metadata.name.replace(/-\d+-[0-9a-f]{12}$/, ''));
    assert.deepEqual(names.filter((name) => name.startsWith('waxseal-')).sort(), [
      'waxseal-keyring-index',
      'waxseal-keyring-shard-1',
      'waxseal-keyring-shard-2',
    ]);
  });

  it('takes a look without change for what it is', async () => {
    const { store } = relay.open();
    const [before] = await store.look();
    const [after] = await store.look();
    assert.ok(before?.kind === 'read' && after?.kind === 'read');
    assert.equal(after.manifest, before.manifest);
  });

  it('keeps the journal of several writers, and the reports of relays', async () => {
    const journals = Array.from({ length: 4 }, () => operator.open().journal);
    await Promise.all(
      journals.map(async (journal, n) => {
        for (let k = 0; k < 3; k += 1) {
          const at = '2026-11-21T09:00:00.000Z';
          await journal.append({ at, caller: `${n}`, command: 'x', event: `event-${n}-${k}` });
        }
      }),
    );
    const events = new Set<string>();
    for await (const { event } of relay.open().journal.read({})) events.add(event);
    assert.equal(events.size, 12);
    const { reports } = relay.open();
    const times = { at: '', goodUntil: '', startedAt: '' };
    const report = { relay: 'r1', host: 'h', version: '1', ...times, generation: 5, keys: [] };
    await reports.write({ ...report, keysMore: 0 });
    await reports.write({ ...report, keysMore: 1 });
    assert.deepEqual(await operator.open().reports.read(), [{ ...report, keysMore: 1 }]);
    await reports.remove('r1');
    assert.deepEqual(await operator.open().reports.read(), []);
  });

  it('lets the scheduled rotation write the keyring, and a relay its own report only', async () => {
    const rotation = await placeOf('mail', 'relay-waxseal-rotation');
    const change = async (place: TestPlace) =>
      await place.open().store.change(async () => ({
        domain: { domain: 'rotated.example', subdomains: false, keys: [] },
        result: 'written',
      }));
    assert.equal(await change(rotation), 'written');
    // A policy takes a moment until it is in force.
    await assert.rejects(async () => {
      for (;;) await change(relay);
    }, /a relay writes its own report and nothing else/);
    await rotation.end();
    const { reports } = relay.open();
    const times = { at: '', goodUntil: '', startedAt: '' };
    const report = { relay: 'r2', host: 'h', version: '1', ...times, generation: 5, keys: [] };
    await reports.write({ ...report, keysMore: 0 });
    await reports.remove('r2');
  });

  it('gives a relay without reports no right to write, and nobody a Secret', async () => {
    const strict = await placeOf('strict', 'relay-waxseal');
    const { store } = strict.open();
    await assert.rejects(store.read(), { code: 'keyring-missing' });
    const change = store.change(async () => ({
      domain: { domain: 'a.example', subdomains: false, keys: [] },
      result: 0,
    }));
    await assert.rejects(change, (error: Error & { hint?: string }) => {
      assert.equal((error as { code?: string }).code, 'keyring-unwritable');
      assert.match(error.message, /403: configmaps is forbidden/);
      assert.match(error.hint ?? '', /Role/);
      return true;
    });
    await strict.end();
    assert.ok(kubernetes !== undefined);
    for (const account of ['relay-waxseal', 'relay-waxseal-keyring-operator']) {
      const token = await readFile(await kubernetes.tokenFile('mail', account), 'utf8');
      const where = '/api/v1/namespaces/mail/secrets';
      const answer = await kubernetes.request('GET', where, undefined, token);
      assert.equal(answer.status, 403, account);
    }
  });
});
