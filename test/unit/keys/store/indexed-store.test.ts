import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import type { KeyringStore } from '../../../../src/keys/keyring-store.ts';
import type { ManifestDomain, ManifestKey } from '../../../../src/keys/manifest.ts';
import { kubernetesPlace, s3Place, type TestPlace } from '../../../support/keyring-stores.ts';
import { FakeKubernetes } from '../../../support/kubernetes-api.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { FakeS3 } from '../../../support/s3-api.ts';

const INDEX = 'waxseal-keyring-index';

function domainOf(domain: string, keys: readonly ManifestKey[] = []): ManifestDomain {
  return { domain, subdomains: false, keys };
}

async function put(store: KeyringStore, domain: string, keys?: readonly ManifestKey[]) {
  await store.change(async () => ({ domain: domainOf(domain, keys), result: undefined }));
}

function keyOf(selector: string, sealed: string): ManifestKey {
  return {
    selector,
    algorithm: 'ed25519',
    backend: 'file',
    state: 'created',
    publicKey: '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
    ttlS: 3600,
    createdAt: '2026-11-21T09:00:00.000Z',
    activatedAt: undefined,
    retiringSince: undefined,
    material: { sealed },
  };
}

describe('keyring in ConfigMaps', () => {
  let api: FakeKubernetes;
  let place: TestPlace;

  beforeEach(async () => {
    api = await FakeKubernetes.start();
    place = kubernetesPlace(api);
  });
  afterEach(async () => {
    await place.end();
    await api.stop();
  });

  it('labels them, and leaves one index and the shards that it names', async () => {
    const { store } = place.open();
    for (const n of [1, 2, 3, 4]) await put(store, `d${n}.example`);
    assert.deepEqual(
      api.names.map((name) => name.replace(/-[0-9a-f]{12}$/, '')),
      [INDEX, 'waxseal-keyring-shard-1-3', 'waxseal-keyring-shard-2-4'],
    );
    const index = JSON.parse(api.text(INDEX));
    assert.equal(index.generation, 4);
  });

  it('looks for news with one small request', async () => {
    const { store } = place.open();
    await put(store, 'a.example');
    const reader = place.open();
    await reader.store.look();
    api.requests.length = 0;
    await reader.store.look();
    await reader.store.look();
    assert.deepEqual(api.requests, [`GET ${INDEX}`, `GET ${INDEX}`]);
  });

  it('knows its own change whose answer was lost', async () => {
    const { store } = place.open();
    await put(store, 'a.example');
    let edits = 0;
    let lost = 0;
    api.loseAnswerTo = (method, name) => {
      const loses = method === 'PUT' && name === INDEX && lost === 0;
      if (loses) lost += 1;
      return loses;
    };
    await store.change(async () => {
      edits += 1;
      return { domain: domainOf('b.example'), result: undefined };
    });
    assert.equal(lost, 1);
    assert.equal(edits, 1);
    assert.equal((await place.open().store.read()).generation, 2);
  });

  it('says so when a write fails, and the old state stands', async () => {
    const { store } = place.open();
    await put(store, 'a.example');
    api.onRequest = (method, name) => (method === 'PUT' && name === INDEX ? 403 : undefined);
    await assert.rejects(put(store, 'b.example'), (error: Error & { hint?: string }) => {
      assert.equal((error as { code?: string }).code, 'keyring-unwritable');
      assert.match(error.message, /namespace mail: Kubernetes answers 403: injected/);
      assert.match(error.hint ?? '', /Role/);
      return true;
    });
    api.onRequest = () => undefined;
    assert.deepEqual([...(await store.read()).domains.keys()], ['a.example']);
  });

  it('gives up when others are always first, and leaves nothing behind', async () => {
    const { store } = place.open();
    await put(store, 'a.example');
    const before = api.names;
    api.onRequest = (method, name) => (method === 'PUT' && name === INDEX ? 409 : undefined);
    await assert.rejects(put(store, 'b.example'), { code: 'keyring-changed' });
    assert.deepEqual(api.names, before);
  }).timeout(60_000);

  it('tells which shard was edited or is gone, and still reads the others', async () => {
    const { store } = place.open();
    for (const n of [1, 2, 3, 4, 5, 6, 7]) await put(store, `d${n}.example`);
    const shard = (number: number) =>
      api.names.find((name) => name.includes(`-shard-${number}-`)) ?? '';
    api.edit(shard(1), api.text(shard(1)).replaceAll('d1.example', 'evil.example'));
    api.delete(shard(2));
    const looks = await place.open().store.look();
    assert.deepEqual(
      looks.map((look) => (look.kind === 'broken' ? look.error.code : 'read')).sort(),
      ['keyring-unreadable', 'manifest-invalid', 'read'],
    );
    await assert.rejects(place.open().store.read());
  });

  it('in an emergency of one domain, goes on around shards that do not hold it, and keeps them', async () => {
    const { store } = place.open();
    for (const n of [1, 2, 3, 4, 5, 6, 7, 8]) await put(store, `d${n}.example`);
    const shard = (number: number) =>
      api.names.find((name) => name.includes(`-shard-${number}-`)) ?? '';
    const broken = shard(1);
    api.edit(broken, api.text(broken).replaceAll('d1.example', 'evil.example'));
    api.delete(shard(2));
    const around = place.open().store.around('d7.example');
    await around.change(async () => ({
      domain: domainOf('d7.example', [keyOf('s1', 'x')]),
      result: 0,
    }));
    assert.equal((await around.read()).domains.get('d7.example')?.keys.length, 1);
    assert.ok(api.names.includes(broken), 'it can be restored');
    const index = JSON.parse(api.text(INDEX)) as { shards: { name: string }[] };
    assert.equal(index.shards.length, 3);
    const change = async () => ({ domain: domainOf('d1.example'), result: 0 });
    await assert.rejects(place.open().store.around('d1.example').change(change));
    await assert.rejects(put(place.open().store, 'd7.example'), 'no other command goes on');
  });

  it('follows a token that was replaced', async () => {
    const { store } = place.open();
    await put(store, 'a.example');
    api.token = 'token-2';
    await writeFile(api.tokenFile, 'token-2');
    assert.equal((await store.read()).generation, 1);
    api.token = 'token-3';
    await assert.rejects(store.read(), { code: 'keyring-unreadable', message: /401/ });
  });

  it('asks again when the server closed an idle connection just then', async () => {
    const { store } = place.open();
    await put(store, 'a.example');
    let hangUps = 0;
    api.onRequest = () => {
      hangUps += 1;
      return hangUps === 1 ? 'hang-up' : undefined;
    };
    assert.equal((await store.read()).generation, 1);
    assert.equal(hangUps, 2);
  });

  it('never shows the token when the API cannot be reached', async () => {
    const { store } = place.open();
    api.onRequest = () => 'hang-up';
    await assert.rejects(store.read(), (error: Error) => {
      assert.match(error.message, /cannot be asked \(ECONNRESET\)/);
      assert.doesNotMatch(JSON.stringify([error, error.cause, error.stack]), /token-1/);
      return true;
    });
  });

  it('moves a domain that outgrows its shard, in the same moment', async () => {
    const { store } = place.open();
    const big = (selector: string) => keyOf(selector, 'A'.repeat(8000));
    const many = (count: number) => Array.from({ length: count }, (_, n) => big(`s${n}`));
    await put(store, 'a.example', many(45));
    await put(store, 'b.example', []);
    const before = (await store.read()).files;
    assert.equal(before.get('a.example'), before.get('b.example'));
    await put(store, 'b.example', many(75));
    const { files, generations } = await store.read();
    assert.notEqual(files.get('a.example'), files.get('b.example'));
    assert.deepEqual([...generations.values()], [3, 3]);
    assert.equal((await place.open().store.read()).domains.size, 2);
  });

  it('removes what a killed command left, but not what is young', async () => {
    await put(place.open().store, 'a.example');
    api.onRequest = (method, name) => (method === 'PUT' && name === INDEX ? 500 : undefined);
    await assert.rejects(put(place.open().store, 'b.example'));
    api.onRequest = () => undefined;
    assert.equal(api.names.length, 3);
    await put(place.open().store, 'a.example');
    assert.equal(api.names.length, 3);
    api.nowMs = () => Date.now() + 2 * 3_600_000;
    await put(place.open().store, 'a.example');
    assert.equal(api.names.length, 2);
  });

  it('leaves what another one is about to name, however wrong the clock here is', async () => {
    await put(place.open().store, 'a.example');
    let arrived = 0;
    const other = place.open().store;
    const ahead = place.open(new ManualClock(Date.now() + 2 * 86_400_000)).store;
    let meanwhile: Promise<void> | undefined;
    api.onRequest = (method, name) => {
      if (method !== 'PUT' || name !== INDEX || arrived > 0) return undefined;
      arrived += 1;
      // The other one has written its shard and is about to change the index: it is slow.
      meanwhile = put(ahead, 'b.example');
      return 500;
    };
    await assert.rejects(put(other, 'c.example'));
    api.onRequest = () => undefined;
    await meanwhile;
    assert.equal(api.names.length, 3, 'the shard with c.example is there');
  });
});

describe('keyring in S3', () => {
  let s3: FakeS3;
  let place: TestPlace;

  beforeEach(async () => {
    s3 = await FakeS3.start();
    place = s3Place(s3.endpoint);
  });
  afterEach(async () => {
    await place.end();
    await s3.stop();
  });

  it('lies under the prefix: one index, one object for each shard', async () => {
    const { store } = place.open();
    for (const n of [1, 2, 3, 4]) await put(store, `d${n}.example`);
    assert.deepEqual(
      s3.keys.map((key) => key.replace(/-[0-9a-f]{12}$/, '')),
      ['waxseal/index', 'waxseal/shards/shard-1-3', 'waxseal/shards/shard-2-4'],
    );
  });

  it('erases what a change took out of every version of the bucket', async () => {
    const { store } = place.open();
    await put(store, 'a.example', [keyOf('s1', 'CANARYCANARY')]);
    assert.match(s3.versions(/shards/).join(), /CANARYCANARY/);
    const { material: _, ...bare } = keyOf('s1', '');
    await put(store, 'a.example', [bare]);
    assert.doesNotMatch(s3.versions(/./).join(), /CANARYCANARY/);
  });

  it('erases so, too, what it was not answered about, or was refused at first', async () => {
    const { store } = place.open();
    const { material: _, ...bare } = keyOf('s1', '');
    let lost = 0;
    s3.loseAnswerTo = (method, key) => {
      const loses = method === 'PUT' && key.startsWith('waxseal/shards/') && lost === 0;
      if (loses) lost += 1;
      return loses;
    };
    await put(store, 'a.example', [keyOf('s1', 'CANARYCANARY')]);
    assert.equal(lost, 1, 'so the SDK sent it twice, and nobody knows its version');
    await put(store, 'a.example', [bare]);
    assert.doesNotMatch(s3.versions(/./).join(), /CANARYCANARY/);
    await put(store, 'b.example', [keyOf('s1', 'CANARYCANARY')]);
    s3.onRequest = (method) => (method === 'DELETE' ? [403, 'AccessDenied'] : undefined);
    await put(store, 'b.example', [bare]);
    assert.match(s3.versions(/./).join(), /CANARYCANARY/);
    s3.onRequest = () => undefined;
    await put(store, 'c.example');
    assert.doesNotMatch(s3.versions(/./).join(), /CANARYCANARY/);
  });

  it('erases so what a killed command left, and leaves what is young', async () => {
    await put(place.open().store, 'a.example');
    s3.onRequest = (method, key) =>
      method === 'PUT' && key === 'waxseal/index' ? [403, 'AccessDenied'] : undefined;
    await assert.rejects(put(place.open().store, 'b.example', [keyOf('s1', 'CANARYCANARY')]));
    s3.onRequest = () => undefined;
    await put(place.open().store, 'a.example');
    assert.match(s3.versions(/./).join(), /CANARYCANARY/);
    s3.nowMs = () => Date.now() + 2 * 3_600_000;
    await put(place.open().store, 'a.example');
    assert.doesNotMatch(s3.versions(/./).join(), /CANARYCANARY/);
    assert.equal(s3.keys.length, 2);
  });

  it('takes 409 (another write is under way) for what it is, and tries again', async () => {
    const { store } = place.open();
    await put(store, 'a.example');
    let conflicts = 0;
    s3.onRequest = (method, key) => {
      if (method !== 'PUT' || key !== 'waxseal/index' || conflicts === 2) return undefined;
      conflicts += 1;
      return [409, 'ConditionalRequestConflict'];
    };
    await put(store, 'b.example');
    assert.equal(conflicts, 2);
    assert.equal((await store.read()).domains.size, 2);
  });

  it('bears that a change which was answered 409 takes effect all the same', async () => {
    const { store } = place.open();
    await put(store, 'a.example');
    let looks = -1;
    s3.postpone = (method, key) => {
      const isFirst = method === 'PUT' && key === 'waxseal/index' && looks < 0;
      if (isFirst) looks = 0;
      return isFirst;
    };
    s3.onRequest = (method, key) => {
      if (looks >= 0 && method === 'GET' && key === 'waxseal/index') looks += 1;
      if (looks === 2) s3.land();
      return undefined;
    };
    await put(store, 'b.example');
    assert.deepEqual(
      [...(await place.open().store.read()).domains.keys()],
      ['a.example', 'b.example'],
    );
    assert.deepEqual(s3.keys.length, 2, 'nothing is left over');
  });

  it('knows its own change when the SDK sent it twice', async () => {
    const { store } = place.open();
    await put(store, 'a.example');
    let lost = 0;
    s3.loseAnswerTo = (method, key) => {
      const loses = method === 'PUT' && key === 'waxseal/index' && lost === 0;
      if (loses) lost += 1;
      return loses;
    };
    let edits = 0;
    await store.change(async () => {
      edits += 1;
      return { domain: domainOf('b.example'), result: undefined };
    });
    assert.equal(edits, 1);
    assert.equal(s3.requests.filter((one) => one === 'PUT waxseal/index').length, 3);
    assert.equal((await store.read()).generation, 2);
  });

  it('names what is denied, and what is not there', async () => {
    const { store } = place.open();
    s3.onRequest = () => [403, 'AccessDenied'];
    await assert.rejects(store.read(), {
      code: 'keyring-unreadable',
      message: /^s3:\/\/keyring\/waxseal\/: AccessDenied \(403\)/,
    });
    s3.onRequest = () => [404, 'NoSuchBucket'];
    await assert.rejects(store.read(), { code: 'keyring-unreadable', message: /NoSuchBucket/ });
  });
});
