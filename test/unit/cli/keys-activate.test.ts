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
});
