import assert from 'node:assert/strict';
import { DAY_MS } from '../../../src/keys/lifecycle/policy.ts';
import type { RelayReport } from '../../../src/keys/store/relay-reports.ts';
import { runKeys } from '../../support/lifecycle-cli.ts';
import { LifecycleLab } from '../../support/lifecycle-lab.ts';

describe('keys activate', () => {
  let lab: LifecycleLab;

  beforeEach(() => {
    lab = new LifecycleLab();
  });

  const keys = async (...args: readonly string[]) => await runKeys(lab, undefined, args);

  /** As a relay would say it, now. */
  function report(usable: boolean): RelayReport {
    const at = new Date(lab.clock.wallMs()).toISOString();
    const keysOf = lab.entry().keys.map(({ selector }) => ({
      domain: 'example.com',
      selector,
      usable,
      ...(usable ? {} : { reason: 'AccessDenied' }),
    }));
    const goodUntil = new Date(lab.clock.wallMs() + 60_000).toISOString();
    const self = { relay: 'relay-1', host: 'mx1', version: '1', startedAt: at, generation: 1 };
    return { ...self, at, goodUntil, keys: keysOf, keysMore: 0 };
  }

  it('sends a key back to publish that a publisher has not written', async () => {
    await keys('create', 'example.com');
    const early = await keys('activate', 'example.com');
    assert.equal(early.code, 3);
    assert.match(
      early.err,
      /not published yet: wx202611r1, wx202611e1\nhint: "waxseal keys publish/,
    );
    assert.deepEqual(lab.states(), { wx202611r1: 'created', wx202611e1: 'created' });
  });

  it('does not skip the time for which caches may hold an older answer', async () => {
    lab.settleMs = 3_600_000;
    await keys('create', 'example.com');
    await keys('publish', 'example.com');
    const early = await keys('activate', 'example.com');
    assert.equal(early.code, 4);
    assert.match(early.err, /waiting \(until 2026-11-21 10:00:00Z\): .*caches may still hold an/);
    assert.equal((await keys('activate', 'example.com', '--dry-run')).code, 0);
    lab.clock.advance(3_600_000);
    const done = await keys('activate', 'example.com', '--json');
    assert.equal(done.code, 0, done.err);
    assert.equal(JSON.parse(done.out).outcome, 'done');
    assert.deepEqual(lab.states(), { wx202611r1: 'active', wx202611e1: 'active' });
    assert.match((await keys('activate', 'example.com')).out, /nothing to do, active: wx202611r1/);
  });

  it('asks each authoritative server, not only resolvers', async () => {
    lab.lame = '192.0.2.9';
    await keys('create', 'example.com');
    await keys('publish', 'example.com');
    const early = await keys('activate', 'example.com');
    assert.equal(early.code, 4);
    assert.match(early.err, /192\.0\.2\.9\): unreachable, no answer/);
    assert.equal((await keys('activate', 'example.com', '--dry-run')).code, 4);
    const ignore = ['--ignore-server', '192.0.2.9', '--reason', 'burnt down'];
    assert.equal((await keys('activate', 'example.com', ...ignore)).code, 0);
    assert.match((await keys('history')).out, /server-ignored .*because: burnt down/);
  });

  it('waits for relays that cannot use the key, and authLag where none reports', async () => {
    await keys('create', 'example.com', '--backend', 'kms-sign');
    await keys('publish', 'example.com');
    const lag = await keys('activate', 'example.com');
    assert.equal(lag.code, 4);
    assert.match(lag.err, /until 2026-11-21 09:05:00Z\): not all relays report that they can use/);
    lab.clock.advance(300_000);
    lab.reports = [report(false)];
    const denied = await keys('activate', 'example.com');
    assert.equal(denied.code, 4);
    assert.match(
      denied.err,
      /a relay cannot use the new keys yet: relay-1: wx202611r1 AccessDenied/,
    );
    lab.clock.advance(10_000);
    lab.reports = [report(true)];
    assert.equal((await keys('activate', 'example.com')).code, 0);
  });

  it('takes what a person writes as published, and says which keys retire', async () => {
    lab.byHand = true;
    await keys('create', 'example.com');
    const early = await keys('activate', 'example.com');
    assert.equal(early.code, 4);
    assert.match(early.err, /hint: "waxseal keys export-dns example\.com" prints the records/);
    assert.deepEqual(lab.states(), { wx202611r1: 'published', wx202611e1: 'published' });
    lab.byHand = false;
    await keys('rotate', 'other.example');
    lab.clock.advance(DAY_MS);
    await keys('create', 'other.example');
    await keys('publish', 'other.example');
    const { out } = await keys('activate', 'other.example');
    assert.match(out, /wx202611r1, wx202611e1: retiring; leave the DNS record in place/);
  });

  describe('of a key that is retiring', () => {
    beforeEach(async () => {
      await keys('rotate', 'example.com', '--algorithm', 'rsa2048');
      lab.clock.advance(2 * DAY_MS);
      await keys('rotate', 'example.com');
      assert.deepEqual(lab.states(), { wx202611r1: 'retiring', wx202611r2: 'active' });
    });

    const back = ['activate', 'example.com', '--selector', 'wx202611r1'];

    it('asks each authoritative server', async () => {
      lab.lame = '192.0.2.9';
      const refused = await keys(...back);
      assert.equal(refused.code, 3);
      assert.match(
        refused.err,
        /wx202611r1\._domainkey\.example\.com: .*192\.0\.2\.9\): unreachable/,
      );
      assert.match(refused.err, /hint: put the record back .*export-dns.*--ignore-server.*--force/);
      assert.deepEqual(lab.states(), { wx202611r1: 'retiring', wx202611r2: 'active' });
      const ignore = ['--ignore-server', '192.0.2.9', '--reason', 'burnt down'];
      const done = await keys(...back, ...ignore);
      assert.equal(done.code, 0, done.err);
      assert.match(done.out, /wx202611r1: active\nexample\.com: wx202611r2: retiring;/);
      assert.deepEqual(lab.states(), { wx202611r1: 'active', wx202611r2: 'retiring' });
      assert.match((await keys('history')).out, /server-ignored .*because: burnt down/);
    });

    it('needs its record, and goes with a fresh key only when that is seen too', async () => {
      const record = lab.zone.get('wx202611r1._domainkey.example.com');
      assert.ok(record !== undefined);
      lab.zone.delete('wx202611r1._domainkey.example.com');
      const gone = await keys(...back);
      assert.equal(gone.code, 3);
      assert.match(gone.err, /192\.0\.2\.1\): absent/);
      lab.zone.set('wx202611r1._domainkey.example.com', record);
      await keys('create', 'example.com', '--algorithm', 'ed25519');
      const both = [...back, '--selector', 'wx202611e1'];
      const early = await keys(...both);
      assert.equal(early.code, 3);
      assert.match(early.err, /not published yet: wx202611e1/);
      await keys('publish', 'example.com');
      lab.hidden.add('wx202611e1._domainkey.example.com');
      const unseen = await keys(...both);
      assert.equal(unseen.code, 4);
      assert.match(unseen.err, /wx202611e1\._domainkey.*absent/);
      lab.hidden.clear();
      assert.equal((await keys(...both)).code, 0);
      assert.deepEqual(lab.states(), {
        wx202611r1: 'active',
        wx202611r2: 'retiring',
        wx202611e1: 'active',
      });
    });
  });

  it('goes on by force, says what each server said, and journals it with the reason', async () => {
    lab.lame = '192.0.2.9';
    await keys('create', 'example.com');
    await keys('publish', 'example.com');
    lab.hidden.add('wx202611e1._domainkey.example.com');
    const done = await keys('activate', 'example.com', '--force', '--reason', 'ns2 is gone');
    assert.equal(done.code, 0, done.err);
    assert.deepEqual(lab.states(), { wx202611r1: 'active', wx202611e1: 'active' });
    for (const said of [
      'wx202611r1._domainkey.example.com: ns.example (192.0.2.1): seen',
      'wx202611r1._domainkey.example.com: ns.example (192.0.2.9): unreachable, no answer',
      'wx202611e1._domainkey.example.com: ns.example (192.0.2.1): absent',
      'activated by force, although DNS does not show it everywhere; because: ns2 is gone',
    ]) {
      assert.ok(done.err.includes(`warning: ${said}\n`), done.err);
    }
    const forced = lab.journal.filter(({ event }) => event === 'activating');
    assert.deepEqual(
      forced.map(({ selector, reason }) => `${selector} ${reason}`),
      ['wx202611r1 ns2 is gone', 'wx202611e1 ns2 is gone'],
    );
    assert.match(forced[0]?.details?.force ?? '', /192\.0\.2\.9\): unreachable/);
    assert.match((await keys('history')).out, /activating .*because: ns2 is gone .*force: wx2/);
  });

  it('says that no reason was given for force, and nothing where DNS shows all', async () => {
    await keys('create', 'example.com');
    const blind = await keys('activate', 'example.com', '--force', '--json');
    assert.equal(blind.code, 0, blind.err);
    const { outcome, notes } = JSON.parse(blind.out);
    assert.equal(outcome, 'done');
    assert.match(
      notes.join('\n'),
      /\(192\.0\.2\.1\): absent\n.*; no reason was given \(--reason\)$/s,
    );
    await keys('create', 'seen.example');
    await keys('publish', 'seen.example');
    assert.equal((await keys('activate', 'seen.example', '--force')).err, '');
  });
});
