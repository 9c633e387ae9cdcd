import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { RotationSetting } from '../../../src/config/config.ts';
import { DAY_MS } from '../../../src/keys/lifecycle/policy.ts';
import { habits, runKeys } from '../../support/lifecycle-cli.ts';
import { LifecycleLab } from '../../support/lifecycle-lab.ts';

describe('keys revoke --reveal', () => {
  let lab: LifecycleLab;
  let rotation: RotationSetting;
  let directory: string;

  beforeEach(async () => {
    lab = new LifecycleLab();
    directory = path.join(await mkdtemp(path.join(tmpdir(), 'waxseal-reveal-')), 'revealed');
    rotation = { ...habits, reveal: directory };
    await keys('rotate', 'example.com', '--algorithm', 'rsa2048', '--ttl', '7200');
    lab.clock.advance(2 * DAY_MS);
    await keys('rotate', 'example.com');
    lab.clock.advance(8 * DAY_MS);
  });
  afterEach(async () => await rm(path.dirname(directory), { recursive: true }));

  const keys = async (...args: readonly string[]) => await runKeys(lab, rotation, args);
  const files = async () => await readdir(directory).catch(() => []);

  it('waits for the TTL after the withdrawal was seen, then makes the key public', async () => {
    const early = await keys('revoke', 'example.com', '--reveal');
    assert.equal(early.code, 4, early.err);
    assert.match(early.out, /wx202611r1: revoked\n/);
    assert.match(
      early.err,
      /wx202611r1: not revealed: caches may hold its record until 2026-12-01T11:00/,
    );
    lab.clock.advance(7_199_000);
    assert.equal((await keys('revoke', 'example.com', '--reveal', '--json')).code, 4);
    assert.deepEqual(await files(), []);
    lab.clock.advance(1000);
    const done = await keys('revoke', 'example.com', '--reveal', '--json');
    assert.equal(done.code, 0, done.err);
    const file = path.join(directory, 'wx202611r1.example.com.pem');
    assert.deepEqual(JSON.parse(done.out).revealed, [
      { selector: 'wx202611r1', kind: 'revealed', file },
    ]);
    const revealed = createPublicKey(createPrivateKey(await readFile(file)));
    const { publicKey } = lab.entry().keys[0]!;
    const spki = revealed.export({ type: 'spki', format: 'der' });
    assert.equal(spki.toString('base64'), publicKey);
    assert.equal((await stat(file)).mode & 0o777, 0o644);
    assert.match((await keys('history')).out, /revealed {2}example\.com {2}wx202611r1 /);
  });

  it('counts the TTL from when every server shows the empty p=, not from the revocation', async () => {
    lab.hidden.add('wx202611r1._domainkey.example.com');
    assert.equal((await keys('revoke', 'example.com')).code, 4);
    lab.clock.advance(DAY_MS);
    const unseen = await keys('revoke', 'example.com', '--reveal');
    assert.equal(unseen.code, 3);
    assert.match(unseen.err, /not revealed: .*the empty p= was not seen on all name servers yet/);
    lab.hidden.clear();
    assert.equal((await keys('revoke', 'example.com', '--reveal')).code, 4);
    lab.clock.advance(7_200_000);
    assert.equal((await keys('revoke', 'example.com', '--reveal')).code, 0);
    assert.equal((await files()).length, 1);
  });

  it('is refused while DNS shows the key again, of a zone that was restored', async () => {
    const name = 'wx202611r1._domainkey.example.com';
    const before = lab.zone.get(name)!;
    await keys('revoke', 'example.com');
    lab.zone.set(name, before);
    lab.clock.advance(DAY_MS);
    const refused = await keys('revoke', 'example.com', '--reveal');
    assert.equal(refused.code, 3, refused.out);
    assert.match(refused.err, /not revealed: the empty p= does not stand on all name servers: /);
    assert.deepEqual(await files(), []);
    const again = await keys('revoke', 'example.com', '--reveal');
    assert.equal(again.code, 4, 'caches may hold it again');
    assert.match(lab.zone.get(name)?.value ?? '', /p=$/);
    lab.clock.advance(7_200_000);
    assert.equal((await keys('revoke', 'example.com', '--reveal')).code, 0);
    assert.equal((await files()).length, 1);
  });

  it('counts the longest TTL that the record ever had', async () => {
    const name = 'wx202611r1._domainkey.example.com';
    const record = { name, type: 'TXT', ttlS: 86_400, value: 'v=DKIM1; p=' } as const;
    const [first] = lab.journal;
    const adopted = { event: 'record-adopted', domain: 'example.com', record };
    lab.journal.push({ ...first!, selector: 'wx202611r1', ...adopted });
    await keys('revoke', 'example.com');
    lab.clock.advance(7_200_000);
    assert.equal((await keys('revoke', 'example.com', '--reveal')).code, 4);
    lab.clock.advance(86_400_000 - 7_200_000);
    assert.equal((await keys('revoke', 'example.com', '--reveal')).code, 0);
  });

  it('is refused where it is off, before anything is revoked', async () => {
    rotation = habits;
    const off = await keys('revoke', 'example.com', '--reveal');
    assert.equal(off.code, 3);
    assert.match(off.err, /not revealed here\nhint: set keys\.rotation\.reveal to a directory/);
    assert.equal(lab.states().wx202611r1, 'retiring');
  });

  it('refuses a key that its back end never gives out, and says so', async () => {
    await keys('revoke', 'example.com');
    lab.clock.advance(DAY_MS);
    lab.givesOut = false;
    const refused = await keys('revoke', 'example.com', '--reveal');
    assert.equal(refused.code, 3);
    assert.match(refused.err, /the back end file never gives a private key out\nhint: /);
    assert.deepEqual(await files(), []);
  });
});
