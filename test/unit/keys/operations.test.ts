import assert from 'node:assert/strict';
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Activation, activateKeys } from '../../../src/keys/activate-keys.ts';
import { importKey } from '../../../src/keys/import/import-key.ts';
import { loadKeyring } from '../../../src/keys/keyring.ts';
import { type KeyringAccess, keyringAccess } from '../../../src/keys/keyring-access.ts';
import { KeysRefusal } from '../../../src/keys/keys-error.ts';
import { createMasterKey } from '../../../src/keys/master-key.ts';
import {
  addKeys,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
  TxtTable,
} from '../../support/keyring.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const DAY_MS = 86_400_000;

describe('key operations', () => {
  let place: KeyringPlace;
  let clock: ManualClock;
  let access: KeyringAccess;
  let dns: TxtTable;

  beforeEach(async () => {
    place = await makeKeyringPlace();
    clock = new ManualClock(Date.parse('2026-11-21T09:00:00Z'));
    access = keyringAccess(place, clock);
    dns = new TxtTable();
  });
  afterEach(async () => await removeKeyringPlace(place));

  const states = async (domain = 'example.com') => {
    const entry = (await access.store.read()).domains.get(domain);
    return Object.fromEntries((entry?.keys ?? []).map((key) => [key.selector, key.state]));
  };
  const activate = async (selectors: readonly string[] = [], force = false) =>
    await activateKeys(access, { domain: 'example.com', selectors, force }, dns);

  describe('create', () => {
    it('makes dated selectors, the next number when one is taken, by month', async () => {
      await addKeys(access, 'example.com', ['rsa2048', 'ed25519']);
      await addKeys(access, 'example.com', ['ed25519']);
      clock.advance(11 * DAY_MS);
      await addKeys(access, 'example.com', ['ed25519']);
      assert.deepEqual(await states(), {
        wx202611r1: 'created',
        wx202611e1: 'created',
        wx202611e2: 'created',
        wx202612e1: 'created',
      });
    });

    it('never takes a selector whose private file is there, even if no manifest lists it', async () => {
      await addKeys(access, 'example.com');
      await rm(path.join(place.dir, 'keyring.yaml'));
      const { added } = await addKeys(access, 'example.com');
      assert.equal(added[0]?.selector, 'wx202611e2');
    });

    it('makes the master key for the first key only', async () => {
      const first = await addKeys(access, 'example.com');
      assert.match(first.warnings.join(), /new master key/);
      const second = await addKeys(access, 'example.com');
      assert.deepEqual(second.warnings, []);
      await rm(place.masterKeyFile);
      await assert.rejects(addKeys(access, 'example.com'), { code: 'master-key-missing' });
      await assert.rejects(stat(place.masterKeyFile), { code: 'ENOENT' });
    });

    it('refuses another master key than the one of the keys that are there', async () => {
      await addKeys(access, 'example.com');
      await rm(place.masterKeyFile);
      await createMasterKey(place.masterKeyFile);
      await assert.rejects(addKeys(access, 'example.net'), (error) => {
        assert.ok(error instanceof KeysRefusal);
        assert.equal(error.code, 'master-key-other');
        assert.match(error.message, /example\.com.wx202611e1\.key/);
        assert.ok(error.message.includes(place.masterKeyFile));
        return true;
      });
      assert.deepEqual(await states('example.net'), {});
      await assert.rejects(stat(path.join(place.dir, 'private', 'example.net')), {
        code: 'ENOENT',
      });
    });

    it('is not stopped by a private file that is damaged, or by strange files', async () => {
      await addKeys(access, 'example.com');
      await writeFile(path.join(place.dir, 'private', 'example.com', 'wx202611e1.key'), 'x');
      await writeFile(path.join(place.dir, 'private', 'README'), 'x');
      await addKeys(access, 'example.net');
      assert.deepEqual(await states('example.net'), { wx202611e1: 'created' });
    });

    it('keeps private files to their owner', async () => {
      await addKeys(access, 'example.com');
      const file = path.join(place.dir, 'private', 'example.com', 'wx202611e1.key');
      assert.equal((await stat(file)).mode & 0o777, 0o600);
      assert.equal((await stat(path.dirname(file))).mode & 0o777, 0o700);
    });

    it('changes subdomains only when told', async () => {
      await addKeys(access, 'example.com', ['ed25519'], true);
      assert.equal((await addKeys(access, 'example.com')).domain.subdomains, true);
      assert.equal((await addKeys(access, 'example.com', [], false)).domain.subdomains, false);
    });

    it('refuses a name that is too long for DNS, and writes nothing', async () => {
      const domain = `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(52)}.example`;
      await assert.rejects(addKeys(access, domain), { code: 'key-name-too-long' });
      assert.deepEqual(await states(domain), {});
    });
  });

  describe('activate', () => {
    it('needs the exact record, for all keys of the set together', async () => {
      const { added } = await addKeys(access, 'example.com', ['rsa2048', 'ed25519']);
      const [rsa, ed25519] = added;
      const none = await activate();
      assert.deepEqual(verdicts(none), ['absent', 'absent']);
      dns.publish('example.com', rsa!);
      assert.deepEqual(verdicts(await activate()), ['seen', 'absent']);
      assert.deepEqual(await states(), { wx202611r1: 'created', wx202611e1: 'created' });
      dns.publish('example.com', ed25519!);
      const done = await activate();
      assert.ok(done.kind === 'activated');
      assert.deepEqual(done.activated, ['wx202611r1', 'wx202611e1']);
      assert.deepEqual(await states(), { wx202611r1: 'active', wx202611e1: 'active' });
      assert.deepEqual(await activate(), {
        kind: 'unchanged',
        active: ['wx202611r1', 'wx202611e1'],
      });
    });

    it('says what was seen and what was expected', async () => {
      const { added } = await addKeys(access, 'example.com', ['rsa2048']);
      const name = 'wx202611r1._domainkey.example.com';
      const expected = `v=DKIM1; k=rsa; h=sha256; p=${added[0]!.publicKey}`;
      dns.set(name, 'v=DKIM1; p=AAAA\u001b[31m');
      const wrong = await activate();
      assert.ok(wrong.kind === 'not-seen');
      assert.equal(wrong.checks[0]?.expected, expected);
      assert.deepEqual(wrong.checks[0]?.found, ['v=DKIM1; p=AAAA\\x1b[31m']);
      dns.set(name, expected, 'v=spf1 -all');
      assert.match(reasons(await activate()), /there are 2 TXT records/);
      dns.set(name, expected.replace(/p=.*/, 'p='));
      assert.match(reasons(await activate()), /revoked/);
      dns.fail(name, 'no server answers');
      const unknown = await activate();
      assert.deepEqual(verdicts(unknown), ['unknown']);
      assert.match(reasons(unknown), /no server answers/);
      assert.deepEqual(await states(), { wx202611r1: 'created' });
    });

    it('with force goes on without the record, and reports what it saw', async () => {
      await addKeys(access, 'example.com', ['rsa2048']);
      const forced = await activate([], true);
      assert.ok(forced.kind === 'activated');
      assert.deepEqual(verdicts(forced), ['absent']);
      assert.deepEqual(await states(), { wx202611r1: 'active' });
    });

    it('lets the old key of the same kind retire, and goes back by its name', async () => {
      const first = await addKeys(access, 'example.com', ['rsa2048', 'ed25519']);
      dns.publish('example.com', ...first.added);
      await activate();
      clock.advance(DAY_MS);
      const second = await addKeys(access, 'example.com', ['rsa2048']);
      dns.publish('example.com', ...second.added);
      const done = await activate();
      assert.ok(done.kind === 'activated');
      assert.deepEqual(done.retiring, ['wx202611r1']);
      assert.deepEqual(await states(), {
        wx202611r1: 'retiring',
        wx202611e1: 'active',
        wx202611r2: 'active',
      });
      const keys = (await access.store.read()).domains.get('example.com')!.keys;
      assert.equal(keys[0]?.retiringSince, '2026-11-22T09:00:00.000Z');
      assert.equal(keys[2]?.activatedAt, '2026-11-22T09:00:00.000Z');
      assert.equal((await activate()).kind, 'unchanged');
      await activate(['wx202611r1']);
      assert.deepEqual(await states(), {
        wx202611r1: 'active',
        wx202611e1: 'active',
        wx202611r2: 'retiring',
      });
      assert.equal((await loadKeyring(place)).keysFor('example.com').kind, 'keys');
    });

    it('refuses Ed25519 without RSA beside it, unless forced', async () => {
      const { added } = await addKeys(access, 'example.com');
      dns.publish('example.com', ...added);
      await assert.rejects(activate(), { code: 'key-ed25519-alone' });
      assert.equal((await activate([], true)).kind, 'activated');
    });

    it('wants a name when there are several of a kind', async () => {
      await addKeys(access, 'example.com', ['rsa2048']);
      await addKeys(access, 'example.com', ['rsa2048']);
      await assert.rejects(activate(), { code: 'key-choice' });
      const named = await activate(['wx202611r2', 'wx202611r2'], true);
      assert.ok(named.kind === 'activated');
      assert.deepEqual(named.activated, ['wx202611r2']);
    });

    it('refuses unknown domains and selectors, and keys that do not come back', async () => {
      await assert.rejects(activate(), { code: 'keyring-missing' });
      await addKeys(access, 'other.example');
      await assert.rejects(activate(), { code: 'key-domain-unknown' });
      await addKeys(access, 'example.com', ['rsa2048']);
      await assert.rejects(activate(['other']), { code: 'key-selector-unknown' });
      const manifest = path.join(place.dir, 'keyring.yaml');
      const text = await readFile(manifest, 'utf8');
      await writeFile(manifest, text.replaceAll('state: created', 'state: revoked'));
      await assert.rejects(activate(['wx202611r1'], true), { code: 'key-state' });
      await assert.rejects(activate([], true), { code: 'key-choice' });
    });

    it('refuses a key that cannot sign here, even with force', async () => {
      await addKeys(access, 'example.com', ['rsa2048']);
      await rm(path.join(place.dir, 'private', 'example.com', 'wx202611r1.key'));
      await assert.rejects(activate([], true), { code: 'key-unusable' });
      assert.deepEqual(await states(), { wx202611r1: 'created' });
    });

    it('writes nothing when the keys changed while DNS was asked', async () => {
      const { added } = await addKeys(access, 'example.com', ['rsa2048']);
      dns.publish('example.com', ...added);
      const slow = {
        txt: async (name: string) => {
          await addKeys(access, 'example.com', ['ed25519']);
          return await dns.txt(name);
        },
      };
      const request = { domain: 'example.com', selectors: [], force: false };
      await assert.rejects(activateKeys(access, request, slow), { code: 'keyring-changed' });
      assert.deepEqual(await states(), { wx202611r1: 'created', wx202611e1: 'created' });
    });
  });

  describe('import', () => {
    let pemFile: string;

    beforeEach(() => {
      pemFile = path.join(place.root, 'key.pem');
    });

    const importFile = async (pem: string | Buffer, selector = 'mail') => {
      await writeFile(pemFile, pem);
      const request = {
        domain: 'example.com',
        selector,
        pemFile,
        subdomains: undefined,
        ttlS: 3600,
      };
      return await importKey(access, request);
    };
    const rsaPem = (bits: number, type: 'pkcs1' | 'pkcs8' = 'pkcs8') => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: bits });
      return privateKey.export({ type, format: 'pem' });
    };
    const publicOf = (pem: string | Buffer): KeyObject => createPublicKey(createPrivateKey(pem));

    for (const type of ['pkcs1', 'pkcs8'] as const) {
      it(`takes an RSA key in ${type.toUpperCase()}, which then signs`, async () => {
        const pem = rsaPem(2048, type);
        const { added, warnings } = await importFile(pem);
        const spki = publicOf(pem).export({ type: 'spki', format: 'der' });
        assert.equal(added[0]?.publicKey, spki.toString('base64'));
        assert.equal(added[0]?.algorithm, 'rsa2048');
        assert.ok(warnings.every((warning) => /master key/.test(warning)));
        dns.publish('example.com', ...added);
        assert.equal((await activate()).kind, 'activated');
        assert.equal((await loadKeyring(place)).keysFor('example.com').kind, 'keys');
      });
    }

    it('takes Ed25519, and warns of RSA below 2048 bits', async () => {
      const { privateKey } = generateKeyPairSync('ed25519');
      const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
      assert.equal((await importFile(pem, 'a')).added[0]?.algorithm, 'ed25519');
      const weak = await importFile(rsaPem(1024), 'b');
      assert.equal(weak.added[0]?.algorithm, 'rsa1024');
      assert.match(weak.warnings.join(), /RSA with 1024 bits is weak/);
      assert.equal((await importFile(rsaPem(1500), 'c')).added[0]?.algorithm, 'rsa1500');
      await activate(['a', 'b'], true);
      const keyring = await loadKeyring(place);
      assert.equal(keyring.keysFor('example.com').kind, 'keys');
      assert.match(keyring.warnings.join(), /selector b: RSA with 1024 bits is weak/);
    });

    const refused: readonly [string, () => string | Buffer, RegExp][] = [
      ['RSA below 1024 bits', () => rsaPem(1016), /RSA key of 1016 bits/],
      ['EC', () => pemOf(generateKeyPairSync('ec', { namedCurve: 'P-256' })), /key of type ec/],
      [
        'RSA-PSS',
        () => pemOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 })),
        /key of type rsa-pss/,
      ],
      ['encrypted PKCS#8', () => encryptedPem('pkcs8'), /protected by a passphrase/],
      ['encrypted PKCS#1', () => encryptedPem('pkcs1'), /protected by a passphrase/],
      [
        'OpenSSH',
        () => '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n',
        /format of OpenSSH/,
      ],
      [
        'a public key',
        () => publicOf(rsaPem(2048)).export({ type: 'spki', format: 'pem' }),
        /is a public key/,
      ],
      ['two keys in a file', () => `${rsaPem(1024)}${rsaPem(1024)}`, /more than one private key/],
      ['a cut file', () => rsaPem(2048).slice(0, 800), /no private key in PEM form/],
      ['junk', () => 'hello', /no private key in PEM form/],
      ['an empty file', () => '', /no private key in PEM form/],
      ['a huge file', () => Buffer.alloc(70_000), /too large/],
    ];
    for (const [what, pem, message] of refused) {
      it(`refuses ${what}, and changes nothing`, async () => {
        await assert.rejects(importFile(pem()), (error: Error) => {
          assert.ok(error instanceof KeysRefusal, String(error));
          assert.match(error.message, message);
          return true;
        });
        await assert.rejects(stat(place.dir), { code: 'ENOENT' });
      });
    }

    it('refuses a selector that is taken, and the same key twice', async () => {
      const pem = rsaPem(1024);
      await importFile(pem);
      await assert.rejects(importFile(rsaPem(1024)), { code: 'key-selector-taken' });
      await assert.rejects(importFile(pem, 'other'), { code: 'key-already-there' });
    });

    it('is taken up again after a run that was killed, but never replaces another key', async () => {
      const pem = rsaPem(1024);
      await importFile(pem);
      await rm(path.join(place.dir, 'keyring.yaml'));
      await assert.rejects(importFile(rsaPem(1024)), { code: 'key-file-in-the-way' });
      assert.equal((await importFile(pem)).added.length, 1);
    });

    it('names a file that is missing or a directory', async () => {
      const request = {
        domain: 'example.com',
        selector: 'mail',
        subdomains: undefined,
        ttlS: 3600,
      };
      await assert.rejects(importKey(access, { ...request, pemFile }), {
        code: 'key-unreadable',
        message: `${pemFile} does not exist`,
      });
      await mkdir(pemFile);
      await assert.rejects(importKey(access, { ...request, pemFile }), { code: 'key-unreadable' });
    });
  });
});

function verdicts(activation: Activation): string[] {
  assert.ok(activation.kind !== 'unchanged');
  return activation.checks.map((check) => check.verdict);
}

function reasons(activation: Activation): string {
  assert.ok(activation.kind === 'not-seen');
  return activation.checks.flatMap((check) => check.reasons).join();
}

function pemOf({ privateKey }: { privateKey: KeyObject }): string | Buffer {
  return privateKey.export({ type: 'pkcs8', format: 'pem' });
}

function encryptedPem(type: 'pkcs1' | 'pkcs8'): string | Buffer {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  return privateKey.export({ type, format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
}
