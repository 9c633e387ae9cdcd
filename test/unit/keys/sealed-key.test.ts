import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { localSigner } from '../../../src/keys/local-signer.ts';
import { createMasterKey, readMasterKey } from '../../../src/keys/master-key.ts';
import { sealKey, unsealKey } from '../../../src/keys/sealed-key.ts';
import {
  algorithm,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
} from '../../support/keyring.ts';

/** The private key of RFC 8463 appendix A.2, put into PKCS#8 (RFC 8410 section 7). */
const RFC8463_PKCS8 = Buffer.concat([
  Buffer.from('302e020100300506032b657004220420', 'hex'),
  Buffer.from('nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=', 'base64'),
]);

/** The header fields of RFC 8463 appendix A.3, canonicalised (relaxed), `b=` empty. */
const RFC8463_OCTETS = Buffer.from(
  [
    'from:Joe SixPack <joe@football.example.com>',
    'to:Suzie Q <suzie@shopping.example.net>',
    'subject:Is dinner ready?',
    'date:Fri, 11 Jul 2003 21:00:37 -0700 (PDT)',
    'message-id:<20030712040037.46341.5F8J@football.example.com>',
    'dkim-signature:v=1; a=ed25519-sha256; c=relaxed/relaxed; d=football.example.com; ' +
      'i=@football.example.com; q=dns/txt; s=brisbane; t=1528637909; h=from : to : subject : ' +
      'date : message-id : from : subject : date; ' +
      'bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=',
  ].join('\r\n'),
);
const RFC8463_SIGNATURE =
  '/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==';

const identity = { domain: 'example.com', selector: 'brisbane', algorithm: 'ed25519' };

describe('sealed key', () => {
  let place: KeyringPlace;

  beforeEach(async () => {
    place = await makeKeyringPlace();
  });
  afterEach(async () => await removeKeyringPlace(place));

  const rfcKey = () => createPrivateKey({ key: RFC8463_PKCS8, type: 'pkcs8', format: 'der' });

  it('opens to the key of RFC 8463 and makes the signature of its appendix A.3', async () => {
    const master = await createMasterKey(place.masterKeyFile);
    const unsealed = unsealKey(identity, sealKey(identity, rfcKey(), master), master);
    assert.ok(unsealed.kind === 'key');
    const row = algorithm('ed25519');
    const publicKey = row.recordOctets(createPublicKey(unsealed.privateKey)).toString('base64');
    assert.equal(publicKey, '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=');
    const signature = await localSigner(row, unsealed.privateKey).sign(RFC8463_OCTETS);
    assert.equal(signature.toString('base64'), RFC8463_SIGNATURE);
  });

  it('opens for its own domain, selector and algorithm only', async () => {
    const master = await createMasterKey(place.masterKeyFile);
    const sealed = sealKey(identity, rfcKey(), master);
    for (const other of [
      { ...identity, domain: 'example.net' },
      { ...identity, selector: 'other' },
      { ...identity, algorithm: 'rsa2048' },
      // The same letters, cut elsewhere: lengths are part of the associated data.
      { ...identity, domain: 'example.comb', selector: 'risbane' },
    ]) {
      assert.deepEqual(unsealKey(other, sealed, master), { kind: 'damaged' });
    }
  });

  it('does not open when any character of it was changed', async () => {
    const master = await createMasterKey(place.masterKeyFile);
    const sealed = sealKey(identity, rfcKey(), master);
    for (const field of ['nonce', 'tag', 'ciphertext', 'format'] as const) {
      const parts = JSON.parse(sealed.toString()) as Record<string, string>;
      const value = parts[field]!;
      parts[field] = `${value.startsWith('A') ? 'B' : 'A'}${value.slice(1)}`;
      const changed = Buffer.from(JSON.stringify(parts));
      assert.deepEqual(unsealKey(identity, changed, master), { kind: 'damaged' }, field);
    }
    for (const junk of ['', 'null', '[]', '{}', 'not JSON', '{"format":1}']) {
      assert.deepEqual(unsealKey(identity, Buffer.from(junk), master), { kind: 'damaged' });
    }
    assert.deepEqual(unsealKey(identity, sealed.subarray(0, 100), master), { kind: 'damaged' });
  });

  it('says when another master key sealed it', async () => {
    const first = await createMasterKey(place.masterKeyFile);
    const second = await createMasterKey(`${place.masterKeyFile}.2`);
    const sealed = sealKey(identity, rfcKey(), first);
    assert.deepEqual(unsealKey(identity, sealed, second), { kind: 'other-master-key' });
  });

  it('holds no octet of the key in the clear, and differs each time', async () => {
    const master = await createMasterKey(place.masterKeyFile);
    const sealed = sealKey(identity, rfcKey(), master);
    assert.notDeepEqual(sealed, sealKey(identity, rfcKey(), master));
    const parts = JSON.parse(sealed.toString()) as Record<string, string>;
    const ciphertext = Buffer.from(parts.ciphertext!, 'base64');
    assert.equal(ciphertext.length, RFC8463_PKCS8.length);
    assert.ok(!ciphertext.includes(RFC8463_PKCS8.subarray(16, 24)));
  });
});

describe('master key', () => {
  let place: KeyringPlace;

  beforeEach(async () => {
    place = await makeKeyringPlace();
  });
  afterEach(async () => await removeKeyringPlace(place));

  it('is 32 octets that only its owner may read', async () => {
    const made = await createMasterKey(place.masterKeyFile);
    const { mode, size } = await stat(place.masterKeyFile);
    assert.equal(mode & 0o777, 0o600);
    assert.equal(size, 32);
    assert.equal((await stat(path.dirname(place.masterKeyFile))).mode & 0o777, 0o700);
    assert.match(made.warnings.join(), /Back it up/);
    const read = await readMasterKey(place.masterKeyFile);
    assert.ok(read.key.equals(made.key));
    assert.deepEqual(read.warnings, []);
  });

  it('is never replaced', async () => {
    await createMasterKey(place.masterKeyFile);
    const before = await readFile(place.masterKeyFile);
    await assert.rejects(createMasterKey(place.masterKeyFile), { code: 'master-key-unwritable' });
    assert.deepEqual(await readFile(place.masterKeyFile), before);
  });

  const modes: readonly [number, string | undefined, RegExp][] = [
    [0o604, 'master-key-exposed', /chmod 600/],
    [0o620, 'master-key-exposed', /chmod 600/],
    [0o644, 'master-key-exposed', /defaultMode/],
    [0o440, undefined, /may be read by its group \(mode 0440\)/],
    [0o400, undefined, /^$/],
  ];
  for (const [mode, code, message] of modes) {
    it(`with mode 0${mode.toString(8)} is ${code === undefined ? 'taken' : 'refused'}`, async () => {
      await createMasterKey(place.masterKeyFile);
      await chmod(place.masterKeyFile, mode);
      if (code === undefined) {
        const { warnings } = await readMasterKey(place.masterKeyFile);
        assert.match(warnings.join(), message);
      } else {
        await assert.rejects(
          readMasterKey(place.masterKeyFile),
          (error: Error & { hint?: string }) => {
            assert.equal((error as { code?: string }).code, code);
            assert.match(error.hint ?? '', message);
            return true;
          },
        );
      }
    });
  }

  it('must be exactly 32 octets long; the message does not quote it', async () => {
    await mkdir(path.dirname(place.masterKeyFile));
    for (const content of ['', 'canary-secret', 'canary-secret'.repeat(1000)]) {
      await writeFile(place.masterKeyFile, content, { mode: 0o600 });
      await assert.rejects(readMasterKey(place.masterKeyFile), (error: Error) => {
        assert.equal((error as { code?: string }).code, 'master-key-invalid');
        assert.ok(!error.message.includes('canary'));
        return true;
      });
    }
  });

  it('may be a symbolic link, as Kubernetes mounts secrets', async () => {
    await createMasterKey(`${place.masterKeyFile}.real`);
    await symlink(`${place.masterKeyFile}.real`, place.masterKeyFile);
    assert.deepEqual((await readMasterKey(place.masterKeyFile)).warnings, []);
  });

  it('that is missing or a directory is named', async () => {
    await assert.rejects(readMasterKey(place.masterKeyFile), { code: 'master-key-missing' });
    await assert.rejects(readMasterKey(place.root), { code: 'master-key-unreadable' });
  });
});
