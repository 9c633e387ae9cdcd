import assert from 'node:assert/strict';
import { createHash, verify } from 'node:crypto';
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { activateKeys } from '../../../src/keys/activate-keys.ts';
import { loadKeyring } from '../../../src/keys/keyring.ts';
import { type KeyringAccess, keyringAccess } from '../../../src/keys/keyring-access.ts';
import { KeyringHolder } from '../../../src/keys/keyring-holder.ts';
import { createMasterKey } from '../../../src/keys/master-key.ts';
import { FileKeyringStore } from '../../../src/keys/store/file-store.ts';
import type { SigningKeys } from '../../../src/mail/signer.ts';
import {
  addKeys,
  algorithm,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
  TxtTable,
} from '../../support/keyring.ts';
import { ManualClock } from '../../support/manual-clock.ts';

describe('keyring', () => {
  let place: KeyringPlace;
  let access: KeyringAccess;

  beforeEach(async () => {
    place = await makeKeyringPlace();
    access = keyringAccess(place, new ManualClock(Date.parse('2026-11-21T09:00:00Z')));
  });
  afterEach(async () => await removeKeyringPlace(place));

  async function activeDomain(domain: string, subdomains = false, kinds = ['ed25519']) {
    const { added } = await addKeys(access, domain, kinds, subdomains);
    await activateKeys(access, { domain, selectors: [], force: true }, new TxtTable());
    return added;
  }

  const manifest = () => path.join(place.dir, 'keyring.yaml');
  const privateFile = (domain: string, selector = 'wx202611e1') =>
    path.join(place.dir, 'private', domain, `${selector}.key`);

  function reasonOf(answer: SigningKeys): string {
    assert.ok(answer.kind === 'unusable', answer.kind);
    return answer.reason;
  }

  function selectorsOf(answer: SigningKeys): readonly string[] {
    return answer.kind === 'keys' ? answer.keys.map((key) => key.selector) : [answer.kind];
  }

  it('signs with both kinds, and the signatures verify against the manifest', async () => {
    const added = await activeDomain('example.com', false, ['rsa2048', 'ed25519']);
    const keyring = await loadKeyring(place);
    assert.equal(keyring.fault, undefined);
    assert.deepEqual(keyring.warnings, []);
    const answer = keyring.keysFor('example.com');
    assert.ok(answer.kind === 'keys');
    assert.deepEqual(
      answer.keys.map((key) => [
        key.domain,
        key.selector,
        key.signer.algorithm,
        key.signatureBytes,
      ]),
      [
        ['example.com', 'wx202611r1', 'rsa-sha256', 256],
        ['example.com', 'wx202611e1', 'ed25519-sha256', 64],
      ],
    );
    const octets = Buffer.from('from:a@example.com\r\ndkim-signature:v=1; b=');
    for (const [index, key] of answer.keys.entries()) {
      const signature = await key.signer.sign(octets);
      assert.equal(signature.length, key.signatureBytes);
      const entry = added[index]!;
      const spki = algorithm(entry.algorithm).publicKeyFrom(Buffer.from(entry.publicKey, 'base64'));
      const isRsa = entry.algorithm === 'rsa2048';
      const signed = isRsa ? octets : createHash('sha256').update(octets).digest();
      assert.ok(verify(isRsa ? 'sha256' : null, signed, spki, signature));
    }
  });

  it('rejects an aborted signature with a code, and no unhandled rejection follows', async () => {
    await activeDomain('example.com');
    const answer = (await loadKeyring(place)).keysFor('example.com');
    assert.ok(answer.kind === 'keys');
    const { signer } = answer.keys[0]!;
    const aborter = new AbortController();
    const under = signer.sign(Buffer.from('x'), aborter.signal);
    aborter.abort();
    await assert.rejects(under, { code: 'key-cannot-sign' });
    await assert.rejects(signer.sign(Buffer.from('x'), aborter.signal), {
      code: 'key-cannot-sign',
    });
  });

  it('answers for the domain itself, else for the closest parent that signs for subdomains', async () => {
    await activeDomain('example.com', true);
    await activeDomain('closed.example.com', false);
    await activeDomain('deep.open.example.com', true);
    const keyring = await loadKeyring(place);
    const found = (domain: string) => {
      const answer = keyring.keysFor(domain);
      return answer.kind === 'keys' ? answer.domain : answer.kind;
    };
    assert.equal(found('example.com'), 'example.com');
    assert.equal(found('a.b.example.com'), 'example.com');
    assert.equal(found('closed.example.com'), 'closed.example.com');
    assert.equal(found('a.closed.example.com'), 'example.com');
    assert.equal(found('a.deep.open.example.com'), 'deep.open.example.com');
    assert.equal(found('open.example.com'), 'example.com');
    for (const other of ['com', '', '.', 'badexample.com', 'example.com.', 'example.net']) {
      assert.equal(found(other), 'unknown-domain', other);
    }
    assert.deepEqual(keyring.domains, [
      'closed.example.com',
      'deep.open.example.com',
      'example.com',
    ]);
  });

  it('never calls a listed domain unknown, whatever state its keys are in', async () => {
    await activeDomain('example.com');
    await addKeys(access, 'new.example');
    const text = await readFile(manifest(), 'utf8');
    for (const state of ['created', 'published', 'verified', 'retiring', 'revoked', 'destroyed']) {
      await writeFile(manifest(), text.replace('state: active', `state: ${state}`));
      const keyring = await loadKeyring(place);
      assert.match(reasonOf(keyring.keysFor('example.com')), /no key of example\.com is active/);
      assert.match(reasonOf(keyring.keysFor('new.example')), /keys activate new\.example/);
    }
  });

  it('lets a parent go on signing for a domain whose keys were never active', async () => {
    await activeDomain('example.com', true);
    await addKeys(access, 'news.example.com');
    const answer = (await loadKeyring(place)).keysFor('news.example.com');
    assert.ok(answer.kind === 'keys');
    assert.equal(answer.domain, 'example.com');
    await addKeys(access, 'soon.example', ['ed25519'], true);
    assert.match(reasonOf((await loadKeyring(place)).keysFor('a.soon.example')), /no key of soon/);
  });

  it('lets it go on when those keys were given up', async () => {
    await activeDomain('example.com', true);
    await addKeys(access, 'news.example.com');
    const text = await readFile(manifest(), 'utf8');
    for (const state of ['revoked', 'destroyed']) {
      await writeFile(manifest(), text.replace('state: created', `state: ${state}`));
      const answer = (await loadKeyring(place)).keysFor('news.example.com');
      assert.ok(answer.kind === 'keys', state);
      assert.equal(answer.domain, 'example.com');
    }
  });

  it('does not let it go on for a domain that lost the keys that it signed with', async () => {
    await activeDomain('example.com', true);
    await activeDomain('news.example.com');
    const text = await readFile(manifest(), 'utf8');
    const at = text.lastIndexOf('state: active');
    await writeFile(
      manifest(),
      `${text.slice(0, at)}${text.slice(at).replace('active', 'revoked')}`,
    );
    const keyring = await loadKeyring(place);
    assert.equal(keyring.keysFor('other.example.com').kind, 'keys');
    assert.match(reasonOf(keyring.keysFor('news.example.com')), /no key of news\.example\.com/);
  });

  const damages: readonly [string, (file: string, other: string) => Promise<void>, RegExp][] = [
    ['missing', async (file) => await rm(file), /does not exist/],
    ['empty', async (file) => await writeFile(file, ''), /is damaged/],
    ['huge', async (file) => await writeFile(file, Buffer.alloc(100_000)), /too large/],
    ["another key's", async (file, other) => await copyFile(other, file), /moved from another key/],
    [
      'a directory',
      async (file) => {
        await rm(file);
        await mkdir(file);
      },
      /is a directory/,
    ],
  ];
  for (const [what, damage, reason] of damages) {
    it(`makes only its own domain unusable when its private file is ${what}`, async () => {
      await activeDomain('bad.example');
      await activeDomain('good.example');
      await damage(privateFile('bad.example'), privateFile('good.example'));
      const keyring = await loadKeyring(place);
      assert.equal(keyring.fault, undefined);
      assert.equal(keyring.keysFor('good.example').kind, 'keys');
      const text = reasonOf(keyring.keysFor('bad.example'));
      assert.match(text, reason);
      assert.ok(text.includes(privateFile('bad.example')));
      assert.match(keyring.warnings.join(), /bad\.example cannot be signed/);
    });
  }

  it('checks each private key against the public key of the manifest', async () => {
    const [first] = await activeDomain('a.example');
    const [second] = await activeDomain('b.example');
    const text = await readFile(manifest(), 'utf8');
    await writeFile(manifest(), text.replace(first!.publicKey, second!.publicKey));
    const keyring = await loadKeyring(place);
    assert.match(reasonOf(keyring.keysFor('a.example')), /does not belong to the public key/);
    assert.equal(keyring.keysFor('b.example').kind, 'keys');
  });

  it('does not start without the master key, and says how to go on', async () => {
    await activeDomain('example.com');
    await rm(place.masterKeyFile);
    await assert.rejects(loadKeyring(place), (error: Error & { hint?: string }) => {
      assert.equal((error as { code?: string }).code, 'master-key-missing');
      assert.match(error.hint ?? '', /backup/);
      return true;
    });
  });

  it('has a fault for all domains under another master key', async () => {
    await activeDomain('a.example');
    await activeDomain('b.example');
    await rm(place.masterKeyFile);
    await createMasterKey(place.masterKeyFile);
    const keyring = await loadKeyring(place);
    assert.match(keyring.fault ?? '', /encrypted under another master key/);
    assert.equal(keyring.keysFor('a.example').kind, 'unusable');
  });

  it('loads without a master key when no key is active, and says that nothing is signed', async () => {
    await new FileKeyringStore(place.dir).change(async () => ({ domain: undefined, result: 0 }));
    const keyring = await loadKeyring(place);
    assert.equal(keyring.keysFor('example.com').kind, 'unknown-domain');
    assert.match(keyring.warnings.join(), /no domain/);
  });

  it('has a fault without any domain, unless it may be empty', async () => {
    await mkdir(place.dir);
    assert.match((await loadKeyring(place)).fault ?? '', /has no domain/);
    assert.equal((await loadKeyring({ ...place, mayBeEmpty: true })).fault, undefined);
  });

  describe('holder', () => {
    it('does not forget a domain that may have moved to a manifest which is broken', async () => {
      await activeDomain('stays.example');
      const whole = await readFile(manifest(), 'utf8');
      await activeDomain('moved.example', true);
      const both = await readFile(manifest(), 'utf8');
      const other = path.join(place.dir, 'other.yaml');
      const holder = new KeyringHolder(place);
      await holder.reload();
      await writeFile(other, 'domains: [');
      await writeFile(manifest(), whole.replace(/generation: \d+/, 'generation: 8'));
      await holder.reload();
      assert.equal(holder.keysFor('stays.example').kind, 'keys');
      assert.equal(holder.keysFor('other.example').kind, 'unknown-domain');
      for (const domain of ['moved.example', 'a.moved.example']) {
        assert.match(reasonOf(holder.keysFor(domain)), /moved\.example went from the keyring/);
      }
      await holder.refresh(false);
      assert.equal(holder.keysFor('moved.example').kind, 'unusable');
      await writeFile(other, 'version: 1\ngeneration: 9\ndomains: {}\n');
      await holder.refresh(false);
      assert.equal(holder.keysFor('moved.example').kind, 'unknown-domain', 'it is meant');
      await writeFile(manifest(), both.replace(/generation: \d+/, 'generation: 10'));
      await holder.refresh(false);
      assert.equal(holder.keysFor('moved.example').kind, 'keys');
    });

    it('answers 451 material before it is loaded', () => {
      const holder = new KeyringHolder(place);
      assert.match(holder.fault ?? '', /not loaded/);
      assert.equal(holder.keysFor('example.com').kind, 'unusable');
    });

    it('takes changes over on reload', async () => {
      await activeDomain('a.example');
      const holder = new KeyringHolder(place);
      assert.equal((await holder.reload()).kind, 'loaded');
      const before = holder.keysFor('a.example');
      await activeDomain('b.example');
      assert.equal(holder.keysFor('b.example').kind, 'unknown-domain');
      const [one, two] = await Promise.all([holder.reload(), holder.reload()]);
      assert.equal(one.kind, 'loaded');
      assert.equal(two.kind, 'loaded');
      assert.equal(holder.keysFor('b.example').kind, 'keys');
      assert.ok(before.kind === 'keys');
      assert.equal((await before.keys[0]!.signer.sign(Buffer.from('x'))).length, 64);
    });

    const failures: readonly [string, (text: string) => Promise<unknown>, string][] = [
      ['a broken manifest', (text) => writeFile(manifest(), `${text}x`), 'manifest-invalid'],
      ['a lost master key', () => rm(place.masterKeyFile), 'master-key-missing'],
      [
        'another master key',
        async () => {
          await rm(place.masterKeyFile);
          await createMasterKey(place.masterKeyFile);
        },
        'keyring-worse',
      ],
      ['a lost directory', () => rename(place.dir, `${place.dir}.away`), 'keyring-missing'],
      [
        'an older generation',
        (text) => writeFile(manifest(), text.replace('generation: 2', 'generation: 1')),
        'keyring-outdated',
      ],
      ['a lost manifest', () => rm(manifest()), 'keyring-shrunk'],
      [
        'a manifest without its domains',
        () => writeFile(manifest(), 'version: 1\ngeneration: 3\ndomains: {}\n'),
        'keyring-shrunk',
      ],
      ['a lost private key', () => rm(privateFile('example.com')), 'keyring-worse'],
    ];
    for (const [what, breakIt, code] of failures) {
      it(`keeps the old keys after ${what}, and says why`, async () => {
        await activeDomain('example.com');
        const holder = new KeyringHolder(place);
        await holder.reload();
        await breakIt(await readFile(manifest(), 'utf8'));
        const reload = await holder.reload();
        assert.ok(reload.kind === 'kept');
        assert.equal(reload.error.code, code);
        const answer = holder.keysFor('example.com');
        assert.ok(answer.kind === 'keys');
        assert.equal((await answer.keys[0]!.signer.sign(Buffer.from('x'))).length, 64);
        assert.equal(holder.fault, undefined);
      });
    }

    it('names the file that went and what it held, though other domains are left', async () => {
      await activeDomain('stays.example');
      const text = await readFile(manifest(), 'utf8');
      await activeDomain('goes.example');
      const both = await readFile(manifest(), 'utf8');
      const other = path.join(place.dir, 'other.yaml');
      await writeFile(other, both.replace(/ {2}stays\.example:[\s\S]*?(?= {2}goes)/, ''));
      await writeFile(manifest(), text.replace(/generation: \d+/, 'generation: 9'));
      const holder = new KeyringHolder(place);
      assert.equal((await holder.reload()).kind, 'loaded');
      await rm(other);
      const reload = await holder.reload();
      assert.ok(reload.kind === 'kept');
      assert.match(reload.error.message, /other\.yaml is gone.*goes\.example/);
      assert.doesNotMatch(reload.error.message, /stays\.example/);
      assert.match(reload.error.hint ?? '', /restart/);
      assert.equal(holder.keysFor('goes.example').kind, 'keys');
      // What moved into another file is not lost.
      await writeFile(manifest(), both.replace(/generation: \d+/, 'generation: 9'));
      assert.equal((await holder.reload()).kind, 'loaded');
    });

    it('takes a domain out that the operator took out of its manifest', async () => {
      await activeDomain('stays.example');
      const text = await readFile(manifest(), 'utf8');
      await activeDomain('goes.example');
      const holder = new KeyringHolder(place);
      await holder.reload();
      await writeFile(manifest(), text.replace(/generation: \d+/, 'generation: 9'));
      assert.equal((await holder.reload()).kind, 'loaded');
      assert.equal(holder.keysFor('goes.example').kind, 'unknown-domain');
    });

    it('takes what the operator did to a key, and new domains whatever state they are in', async () => {
      await activeDomain('example.com');
      const holder = new KeyringHolder(place);
      await holder.reload();
      await activeDomain('new.example');
      await rm(privateFile('new.example'));
      assert.equal((await holder.reload()).kind, 'loaded');
      assert.equal(holder.keysFor('new.example').kind, 'unusable');
      const text = await readFile(manifest(), 'utf8');
      await writeFile(manifest(), text.replaceAll('state: active', 'state: revoked'));
      assert.equal((await holder.reload()).kind, 'loaded');
      assert.equal(holder.keysFor('example.com').kind, 'unusable');
    });

    it('does not go on with a revoked key because its successor does not open', async () => {
      await activeDomain('example.com');
      const holder = new KeyringHolder(place);
      await holder.reload();
      await activeDomain('example.com');
      await rm(privateFile('example.com', 'wx202611e2'));
      const retiring = await holder.reload();
      assert.ok(retiring.kind === 'loaded');
      const [complaint] = retiring.complaints;
      assert.match(
        complaint?.message ?? '',
        /example\.com.*wx202611e2\.key does not exist; the retiring key wx202611e1 goes on/,
      );
      assert.deepEqual(selectorsOf(holder.keysFor('example.com')), ['wx202611e1']);
      const text = await readFile(manifest(), 'utf8');
      await writeFile(manifest(), text.replace('state: retiring', 'state: revoked'));
      assert.equal((await holder.reload()).kind, 'loaded');
      assert.equal(holder.keysFor('example.com').kind, 'unusable');
    });

    it('keeps the key of a parent when a subdomain gets one that does not open', async () => {
      await activeDomain('example.com', true);
      const holder = new KeyringHolder(place);
      await holder.reload();
      await activeDomain('news.example.com');
      await rm(privateFile('news.example.com'));
      const reload = await holder.reload();
      assert.ok(reload.kind === 'loaded');
      assert.match(reload.complaints[0]?.message ?? '', /news\.example\.com.*the parent domain/);
      const answer = holder.keysFor('news.example.com');
      assert.ok(answer.kind === 'keys');
      assert.equal(answer.domain, 'example.com');
    });

    it('comes up from an empty keyring, and goes on without one', async () => {
      await mkdir(place.dir);
      const holder = new KeyringHolder(place);
      assert.equal((await holder.reload()).kind, 'loaded');
      assert.match(holder.fault ?? '', /no domain/);
      assert.equal((await holder.reload()).kind, 'loaded');
      await activeDomain('example.com');
      assert.equal((await holder.reload()).kind, 'loaded');
      assert.equal(holder.fault, undefined);
    });

    it('changes nothing before what it prepared is committed', async () => {
      await activeDomain('a.example');
      const holder = new KeyringHolder(place);
      await holder.reload();
      await activeDomain('b.example');
      const prepared = await holder.prepare();
      assert.ok(prepared.kind === 'loaded');
      assert.equal(holder.keysFor('b.example').kind, 'unknown-domain');
      prepared.commit();
      assert.equal(holder.keysFor('b.example').kind, 'keys');
    });
  });
});
