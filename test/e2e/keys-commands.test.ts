import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { FileKeyringStore } from '../../src/keys/store/file-store.ts';
import type { JournalEntry } from '../../src/keys/store/journal.ts';
import { type Bind, startBind } from '../support/bind.ts';
import { type KeyringPlace, makeKeyringPlace, removeKeyringPlace } from '../support/keyring.ts';
import { CALLER_ARN, FakeKms } from '../support/kms/fake-kms.ts';
import { KMS_ENVIRONMENT } from '../support/kms/kms-lab.ts';
import { requirePeer } from '../support/peers.ts';
import { type Finished, runWaxseal } from '../support/run-waxseal.ts';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const QUICK = 'quick.test';
/** Nobody writes its records. */
const SLOW = 'slow.test';

/** The command line as an administrator has it: processes, a configuration, a BIND with TSIG, KMS. */
describe('keys commands, as processes', function () {
  this.timeout(120_000);
  let place: KeyringPlace;
  let bind: Bind;
  let kms: FakeKms;
  let config: string;

  before(async function () {
    const named = requirePeer(this, 'named');
    place = await makeKeyringPlace();
    const secret = randomBytes(32).toString('base64');
    const key = `key "waxseal" { algorithm hmac-sha256; secret "${secret}"; };`;
    bind = await startBind(
      named,
      { [QUICK]: '', [SLOW]: '' },
      { ttlS: 1, statements: key, zoneStatements: 'update-policy { grant waxseal zonesub TXT; };' },
    );
    kms = await FakeKms.start();
    const keyFile = path.join(place.root, 'tsig.key');
    await writeFile(keyFile, key, { mode: 0o600 });
    config = path.join(place.root, 'waxseal.yaml');
    const settings = {
      keys: { dir: place.dir, masterKeyFile: place.masterKeyFile, rotation: { authLagMs: 0 } },
      dns: {
        servers: [bind.server],
        hints: [QUICK, SLOW].map((name) => ({ zone: name, servers: [bind.server] })),
      },
      publishers: [
        { domains: [QUICK], kind: 'rfc2136', server: bind.server, keyName: 'waxseal', keyFile },
      ],
      kms: {
        regions: [kms.region().name],
        endpoints: kms.endpoints,
        wrappingKey: kms.makeWrappingKey(),
      },
    };
    await writeFile(config, JSON.stringify(settings));
  });
  after(async () => {
    await kms?.stop();
    await bind?.close();
    if (place !== undefined) await removeKeyringPlace(place);
  });

  const environment = () => ({ ...KMS_ENVIRONMENT, WAXSEAL_CONFIG: config });
  const keys = async (...args: readonly string[]): Promise<Finished> =>
    await runWaxseal(['keys', ...args], { env: environment() });

  /** A command that is to be ended by something. */
  function start(...args: readonly string[]) {
    const env = { PATH: process.env.PATH, ...environment() };
    const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
    const child = spawn(process.execPath, [CLI, 'keys', ...args], { env, stdio });
    return { child, ended: once(child, 'close') };
  }

  /** Waits until a stream has brought something; it can be read on. */
  async function said(stream: Readable, what: RegExp): Promise<void> {
    let all = '';
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    stream.on('data', (piece) => {
      all += String(piece);
      if (what.test(all)) resolve();
    });
    stream.on('end', () => reject(new Error(`it ended without saying ${what}: ${all}`)));
    await promise;
  }

  it('rotate a domain in KMS, and journal who called AWS, and each request of each key', async () => {
    const { code, stdout, stderr } = await keys('rotate', QUICK, '--backend', 'kms-sign');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^next: quick\.test: the next rotation is due at /m);
    const history = await keys('history', QUICK, '--json');
    const entries = history.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as JournalEntry);
    assert.deepEqual([...new Set(entries.map(({ caller }) => caller))], [CALLER_ARN]);
    const made = entries.filter(({ event }) => event === 'key-created');
    const ids = made.flatMap(({ requestIds = [] }) => requestIds);
    assert.ok(
      made.every(({ requestIds = [] }) => requestIds.length > 0),
      history.stdout,
    );
    assert.equal(new Set(ids).size, ids.length);
    const others = entries.filter(({ requestIds }) => requestIds !== undefined);
    assert.deepEqual(others, made, 'requests are journaled with what they did');
    assert.equal(kms.count('CreateKey'), 2);
    assert.equal((await keys('test', QUICK)).code, 0);
  });

  it('journal who imported a key into AWS, and by which requests', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const file = path.join(place.root, 'mail.pem');
    await writeFile(file, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const more = ['--selector', 'mail', '--backend', 'kms-envelope'];
    const { code, stderr } = await keys('import', 'imported.test', file, ...more);
    assert.equal(code, 0, stderr);
    const history = await keys('history', 'imported.test', '--json');
    const entries = history.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as JournalEntry);
    assert.deepEqual(
      entries.map(({ event, caller, command }) => `${event} ${caller} ${command}`),
      ['key-importing', 'key-imported'].map((event) => `${event} ${CALLER_ARN} keys import`),
    );
    assert.ok((entries[1]?.requestIds ?? []).length >= 2, 'Encrypt and Decrypt');
  });

  it('show no private half to programs, not even a wrapped one', async () => {
    const made = await keys('create', 'wrapped.test', '--backend', 'kms-envelope', '--json');
    assert.equal(made.code, 0, made.stderr);
    for (const { stdout } of [made, await keys('list', '--json')]) {
      assert.match(stdout, /"wrappingKey": "arn:aws:kms:/);
      assert.doesNotMatch(stdout, /ciphertext/);
    }
  });

  it('finish what is under way at SIGINT, and go on with the same keys', async () => {
    const { child, ended } = start('rotate', SLOW);
    const errors = text(child.stderr);
    const output = text(child.stdout);
    await said(child.stderr, /waiting, next look in/);
    child.kill('SIGINT');
    await ended;
    assert.equal(child.exitCode, 130, await errors);
    assert.match(await errors, /^ended early \(SIGINT\); the same command goes on from here$/m);
    assert.match(await output, /wx\d{6}r1, wx\d{6}e1: published$/m);
    const entry = (await new FileKeyringStore(place.dir).read()).domains.get(SLOW);
    assert.deepEqual(
      entry?.keys.map(({ state }) => state),
      ['published', 'published'],
    );
    assert.ok(Date.parse(entry.lease?.until ?? '') < Date.now(), 'the lease is given back');
    const next = await keys('rotate', SLOW, '--step', '--json');
    assert.equal(next.code, 4);
    const { keys: after } = JSON.parse(next.stdout) as { keys: { selector: string }[] };
    assert.deepEqual(
      after.map(({ selector }) => selector),
      entry.keys.map(({ selector }) => selector),
    );
  });

  it('end when nobody reads what they write', async () => {
    const { child, ended } = start('status', '--watch', '1s', '--no-dns');
    const errors = text(child.stderr);
    await said(child.stdout, /next:/);
    child.stdout.destroy();
    await ended;
    assert.equal(await errors, '');
    assert.equal(child.exitCode, 0);
  });
});
