import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs, { writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { hostname } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../../src/base/clock.ts';
import { keyringAccess } from '../../../src/keys/keyring-access.ts';
import { KeyringHolder } from '../../../src/keys/keyring-holder.ts';
import { acquireLock } from '../../../src/keys/lock-file.ts';
import { FileKeyringStore } from '../../../src/keys/store/file-store.ts';
import {
  addKeys,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
} from '../../support/keyring.ts';

const PROGRAM = fileURLToPath(new URL('../../support/killed-writer.ts', import.meta.url));

describe('keyring store', () => {
  let place: KeyringPlace;
  let store: FileKeyringStore;

  beforeEach(async () => {
    place = await makeKeyringPlace();
    store = new FileKeyringStore(place.dir);
  });
  afterEach(async () => await removeKeyringPlace(place));

  const addDomain = async (domain: string) =>
    await store.change(async () => ({
      domain: { domain, subdomains: false, keys: [] },
      result: domain,
    }));

  it('writes files that only owner and group may read, and leaves nothing else', async () => {
    await addDomain('a.example');
    assert.deepEqual(await readdir(place.dir), ['keyring.yaml']);
    assert.equal((await stat(path.join(place.dir, 'keyring.yaml'))).mode & 0o777, 0o640);
    assert.equal((await stat(place.dir)).mode & 0o777, 0o750);
  });

  it('takes many files together and changes a domain in the file that has it', async () => {
    await mkdir(place.dir);
    const manifest = (generation: number, domain: string) =>
      `version: 1\ngeneration: ${generation}\ndomains:\n  ${domain}: {keys: []}\n`;
    await writeFile(path.join(place.dir, 'a.yaml'), manifest(3, 'a.example'));
    await writeFile(path.join(place.dir, 'b.yml'), manifest(5, 'b.example'));
    await writeFile(path.join(place.dir, 'README.md'), 'no manifest');
    const before = await readFile(path.join(place.dir, 'a.yaml'));
    await addDomain('b.example');
    await addDomain('c.example');
    const { generation, generations, domains } = await store.read();
    assert.equal(generation, 7);
    assert.deepEqual(Object.fromEntries(generations), {
      'a.yaml': 3,
      'b.yml': 6,
      'keyring.yaml': 7,
    });
    assert.deepEqual([...domains.keys()].sort(), ['a.example', 'b.example', 'c.example']);
    assert.deepEqual(await readFile(path.join(place.dir, 'a.yaml')), before);
  });

  it('refuses a domain that stands in two files', async () => {
    await addDomain('a.example');
    const text = await readFile(path.join(place.dir, 'keyring.yaml'));
    await writeFile(path.join(place.dir, 'other.yaml'), text);
    await assert.rejects(store.read(), {
      code: 'manifest-invalid',
      message: 'other.yaml: domains."a.example" stands in keyring.yaml too',
    });
  });

  it('names a missing directory, and one that is none', async () => {
    await assert.rejects(store.read(), { code: 'keyring-missing' });
    await writeFile(place.dir, '');
    await assert.rejects(store.read(), { code: 'keyring-unreadable' });
  });

  it('refuses a manifest that is too large without reading it', async () => {
    await mkdir(place.dir);
    await writeFile(path.join(place.dir, 'big.yaml'), Buffer.alloc(16 * 1024 * 1024 + 1, '#'));
    await assert.rejects(store.read(), { code: 'manifest-too-large' });
  });

  it('does not overwrite what somebody without the lock wrote meanwhile', async () => {
    await addDomain('a.example');
    const file = path.join(place.dir, 'keyring.yaml');
    const other = (await readFile(file, 'utf8')).replace('a.example', 'hand.example');
    const change = store.change(async () => {
      await writeFile(file, other);
      return { domain: { domain: 'b.example', subdomains: false, keys: [] }, result: 0 };
    });
    await assert.rejects(change, { code: 'keyring-changed' });
    assert.equal(await readFile(file, 'utf8'), other);
  });

  it('writes nothing when the edit throws, and releases the lock', async () => {
    await addDomain('a.example');
    const before = await readFile(path.join(place.dir, 'keyring.yaml'));
    const edit = store.change(() => Promise.reject(new Error('no')));
    await assert.rejects(edit, { message: 'no' });
    assert.deepEqual(await readFile(path.join(place.dir, 'keyring.yaml')), before);
    assert.deepEqual(await readdir(place.dir), ['keyring.yaml']);
  });

  it('makes a change again whose lock was taken for that of a dead writer', async () => {
    await addDomain('a.example');
    const lock = path.join(place.dir, '.lock');
    let edits = 0;
    const result = await store.change(async ({ domains }) => {
      edits += 1;
      // Above the largest process number of Linux (proc(5), pid_max).
      const dead = { pid: 4_194_305, host: hostname(), started: '', token: 'x', since: '' };
      if (edits === 1) await writeFile(lock, JSON.stringify(dead));
      return { domain: { domain: 'b.example', subdomains: false, keys: [] }, result: domains.size };
    });
    assert.deepEqual([result, edits], [1, 2]);
    assert.ok((await store.read()).domains.has('b.example'));
    assert.deepEqual(await readdir(place.dir), ['keyring.yaml']);
  });

  it('loses no change of several writers at once', async () => {
    const domains = Array.from({ length: 12 }, (_, n) => `d${n}.example`);
    const stores = domains.map(() => new FileKeyringStore(place.dir));
    await Promise.all(
      stores.map((writer, n) =>
        writer.change(async () => ({
          domain: { domain: domains[n]!, subdomains: false, keys: [] },
          result: undefined,
        })),
      ),
    );
    const snapshot = await store.read();
    assert.equal(snapshot.domains.size, 12);
    assert.equal(snapshot.generation, 12);
  });

  describe('killed at any step', () => {
    it('leaves the old state or the new one, and the next run goes on from there', async function () {
      this.timeout(120_000);
      let killed = 0;
      for (let step = 1; ; step += 1) {
        const here = await makeKeyringPlace();
        try {
          const done = await runKilledAt(here, step);
          // Whatever was on the disk then is a keyring, old or new.
          const states = await statesIn(here);
          assert.ok(['', 'created', 'active'].includes(states), `step ${step}: ${states}`);
          const access = keyringAccess(here, systemClock);
          const { added } = await addKeys(access, 'example.com');
          assert.equal(added.length, 1);
          const names = await readdir(here.dir);
          assert.ok(!names.includes('.lock'), `step ${step}: ${names}`);
          assert.deepEqual(
            names.filter((name) => /^\.[^.].*\.tmp$/.test(name)),
            [],
          );
          const selectors = await selectorsIn(here);
          assert.equal(new Set(selectors).size, selectors.length);
          const holder = new KeyringHolder(here);
          assert.equal((await holder.reload()).kind, 'loaded', `step ${step}`);
          if (done) break;
          killed += 1;
        } finally {
          await removeKeyringPlace(here);
        }
      }
      assert.ok(killed > 10, `only ${killed} steps`);
    });
  });
});

async function runKilledAt(place: KeyringPlace, step: number): Promise<boolean> {
  const child = spawn(process.execPath, [PROGRAM, place.dir, place.masterKeyFile, String(step)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  const [code, signal] = await once(child, 'close');
  assert.ok(signal === 'SIGKILL' || code === 0, `step ${step}: ${code} ${signal}`);
  return output === 'done\n';
}

async function statesIn(place: KeyringPlace): Promise<string> {
  try {
    const { domains } = await new FileKeyringStore(place.dir).read();
    return [...domains.values()].flatMap((entry) => entry.keys.map((key) => key.state)).join();
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'keyring-missing');
    return '';
  }
}

async function selectorsIn(place: KeyringPlace): Promise<string[]> {
  const { domains } = await new FileKeyringStore(place.dir).read();
  return [...domains.values()].flatMap((entry) => entry.keys.map((key) => key.selector));
}

describe('lock file', () => {
  let place: KeyringPlace;
  let file: string;

  beforeEach(async () => {
    place = await makeKeyringPlace();
    file = path.join(place.root, '.lock');
  });
  afterEach(async () => await removeKeyringPlace(place));

  const options = { clock: systemClock, waitMs: 0 };
  const owner = (changes: Record<string, unknown>) =>
    JSON.stringify({
      pid: process.pid,
      host: hostname(),
      started: '',
      token: 'other',
      since: '2026-11-21T09:00:00Z',
      ...changes,
    });
  /** Above the largest process number of Linux (proc(5), pid_max). */
  const DEAD_PID = 4_194_305;

  it('is held by one, and free again after release', async () => {
    const lock = await acquireLock(file, options);
    await assert.rejects(acquireLock(file, options), (error: Error) => {
      assert.equal((error as { code?: string }).code, 'keyring-locked');
      assert.match(error.message, new RegExp(`process ${process.pid} on `));
      return true;
    });
    await lock.release();
    await (await acquireLock(file, options)).release();
    assert.deepEqual(await readdir(place.root), []);
  });

  it('of a dead process is taken over', async () => {
    await writeFile(file, owner({ pid: DEAD_PID }));
    const lock = await acquireLock(file, options);
    await lock.check();
    await lock.release();
    assert.deepEqual(await readdir(place.root), []);
  });

  it('of a process whose number another one has now is taken over', async () => {
    await writeFile(file, owner({ started: '1' }));
    await (await acquireLock(file, options)).release();
  });

  it('of another machine, or one that cannot be read, is respected', async () => {
    for (const text of [owner({ pid: DEAD_PID, host: 'elsewhere' }), 'junk', '{}', '']) {
      await writeFile(file, text);
      await assert.rejects(acquireLock(file, options), { code: 'keyring-locked' });
      assert.equal(await readFile(file, 'utf8'), text);
    }
  });

  it('is left alone when the dead process had released it, and another one has it now', async () => {
    await writeFile(file, owner({ pid: DEAD_PID }));
    const kill = process.kill;
    const now = owner({ token: 'newer' });
    process.kill = ((...args: Parameters<typeof kill>) => {
      writeFileSync(file, now); // between the look at the lock and that at its owner
      return kill(...args);
    }) as typeof kill;
    const moved: unknown[] = [];
    const { rename, unlink } = fs.promises;
    fs.promises.rename = async (from, to) => {
      moved.push(from);
      await rename(from, to);
    };
    fs.promises.unlink = async (name) => {
      if (name === file) moved.push(name);
      await unlink(name);
    };
    syncBuiltinESMExports();
    try {
      await assert.rejects(acquireLock(file, options), { code: 'keyring-locked' });
      assert.deepEqual(moved, []);
      assert.deepEqual(await readdir(place.root), ['.lock']);
    } finally {
      process.kill = kill;
      Object.assign(fs.promises, { rename, unlink });
      syncBuiltinESMExports();
    }
  });

  it('of a dead process whose taker was killed as well is taken over all the same', async () => {
    const text = owner({ pid: DEAD_PID });
    await writeFile(file, text);
    const digest = createHash('sha256').update('other').digest('hex').slice(0, 12);
    const claim = path.join(place.root, `..lock.${digest}.tmp`);
    await fs.promises.link(file, claim);
    const lock = await acquireLock(file, options);
    await lock.check();
    await lock.release();
    assert.deepEqual(await readdir(place.root), []);
  });

  it('that was taken away stops the writer, and is not released by it', async () => {
    const lock = await acquireLock(file, options);
    await writeFile(file, owner({}));
    await assert.rejects(lock.check(), { code: 'keyring-lock-lost' });
    await lock.release();
    assert.equal(await readFile(file, 'utf8'), owner({}));
  });

  it('of a dead process goes to exactly one of many', async () => {
    await writeFile(file, owner({ pid: DEAD_PID }));
    const tries = await Promise.allSettled(
      Array.from({ length: 10 }, () => acquireLock(file, options)),
    );
    const locks = tries.filter((result) => result.status === 'fulfilled');
    const valid = await Promise.allSettled(locks.map((result) => result.value.check()));
    assert.equal(valid.filter((result) => result.status === 'fulfilled').length, 1);
    for (const result of locks) await result.value.release();
  });
});
