import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DOMAINS_PER_FILE, FileKeyringStore } from '../../../../src/keys/store/file-store.ts';
import { filePlace, type TestPlace } from '../../../support/keyring-stores.ts';

describe('keyring in files', () => {
  let place: TestPlace;
  let dir: string;
  let store: FileKeyringStore;

  beforeEach(async () => {
    place = await filePlace();
    dir = place.place.dir;
    store = new FileKeyringStore(dir);
  });
  afterEach(async () => await place.end());

  const names = (count: number, offset = 0) =>
    Array.from({ length: count }, (_, n) => `d${n + offset}.example`);
  const manifest = (generation: number, domains: readonly string[]) =>
    `version: 1\ngeneration: ${generation}\ndomains:\n${domains
      .map((domain) => `  ${domain}: {keys: []}\n`)
      .join('')}`;
  const add = async (domain: string) =>
    await store.change(async () => ({
      domain: { domain, subdomains: false, keys: [] },
      result: 0,
    }));

  it('begins a new file when ours is full, and leaves files of others alone', async () => {
    await mkdir(dir);
    await writeFile(path.join(dir, 'keyring.yaml'), manifest(1, names(DOMAINS_PER_FILE - 1)));
    await writeFile(path.join(dir, 'mine.yaml'), manifest(1, ['mine.example']));
    await add('last.example');
    await add('next.example');
    await add('mine.example');
    const { files } = await store.read();
    assert.equal(files.get('last.example'), 'keyring.yaml');
    assert.equal(files.get('next.example'), 'keyring-2.yaml');
    assert.equal(files.get('mine.example'), 'mine.yaml');
  });

  it('in an emergency of one domain, goes on around a broken file that does not hold it', async () => {
    await add('a.example');
    await writeFile(path.join(dir, 'other.yaml'), 'nonsense: [');
    await assert.rejects(add('a.example'), /other\.yaml/);
    const around = store.around('a.example');
    const keys = { domain: 'a.example', subdomains: true, keys: [] };
    await around.change(async () => ({ domain: keys, result: 0 }));
    assert.equal((await around.read()).domains.get('a.example')?.subdomains, true);
    assert.equal(await readFile(path.join(dir, 'other.yaml'), 'utf8'), 'nonsense: [');
    const lost = store.around('b.example');
    await assert.rejects(lost.read(), /other\.yaml/, 'it may stand there');
    const change = async () => ({ domain: { ...keys, domain: 'b.example' }, result: 0 });
    await assert.rejects(lost.change(change), /other\.yaml/);
  });

  it('goes on with a large file of before, and fills a gap that it finds', async () => {
    await mkdir(dir);
    await writeFile(path.join(dir, 'keyring.yaml'), manifest(1, names(500)));
    await writeFile(path.join(dir, 'keyring-3.yaml'), manifest(1, ['three.example']));
    await add('d7.example');
    await add('new.example');
    const { files, domains } = await store.read();
    assert.equal(files.get('d7.example'), 'keyring.yaml');
    assert.equal(files.get('new.example'), 'keyring-2.yaml');
    assert.equal(domains.size, 502);
    assert.deepEqual((await readdir(dir)).sort(), [
      'keyring-2.yaml',
      'keyring-3.yaml',
      'keyring.yaml',
    ]);
  });

  it('sees a change within the time that a stamp cannot show', async () => {
    await mkdir(dir);
    const file = path.join(dir, 'keyring.yaml');
    const at = new Date();
    for (const name of ['aaa.example', 'bbb.example', 'ccc.example']) {
      await writeFile(file, manifest(1, [name])); // in place, with the same size
      await utimes(file, at, at);
      assert.deepEqual([...(await store.read()).domains.keys()], [name]);
    }
  });

  it('shows the good files beside a broken one, and the broken one again when it is repaired', async () => {
    await mkdir(dir);
    await writeFile(path.join(dir, 'good.yaml'), manifest(1, ['good.example']));
    await writeFile(path.join(dir, 'bad.yaml'), 'version: 1\n');
    const kinds = async () => (await store.look()).map(({ name, kind }) => `${name} ${kind}`);
    assert.deepEqual(await kinds(), ['bad.yaml broken', 'good.yaml read']);
    await assert.rejects(store.read(), { code: 'manifest-invalid' });
    await writeFile(path.join(dir, 'bad.yaml'), manifest(1, ['bad.example']));
    assert.deepEqual(await kinds(), ['bad.yaml read', 'good.yaml read']);
  });
});
