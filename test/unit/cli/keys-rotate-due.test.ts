import assert from 'node:assert/strict';
import { CommanderError } from 'commander';
import type { RotationSetting } from '../../../src/config/config.ts';
import { KmsError } from '../../../src/keys/kms/kms-fault.ts';
import { DAY_MS } from '../../../src/keys/lifecycle/policy.ts';
import { habits, runKeys } from '../../support/lifecycle-cli.ts';
import { LifecycleLab } from '../../support/lifecycle-lab.ts';

/** What a scheduled job runs: its exit code is what somebody is woken by. */
describe('keys rotate --due --step', () => {
  let lab: LifecycleLab;
  let rotation: RotationSetting | undefined;

  beforeEach(() => {
    lab = new LifecycleLab();
    rotation = undefined;
  });

  const keys = async (...args: readonly string[]) => await runKeys(lab, rotation, args);
  const due = async (...more: readonly string[]) =>
    await keys('rotate', '--due', '--step', ...more);

  it('gives 0 while domains merely wait, and counts them', async () => {
    await keys('rotate', 'a.example');
    await keys('rotate', 'b.example');
    lab.clock.advance(200 * DAY_MS);
    lab.settleMs = 3_600_000;
    const waits = await due();
    assert.equal(waits.code, 0, waits.err);
    assert.match(
      waits.err,
      /a\.example: wx202706r1, wx202706e1: waiting \(until 2027-06-09 10:00:00Z\)/,
    );
    assert.match(
      waits.out,
      /^2 domain\(s\) taken, 0 failed, 2 not over \(the next run goes on\), 0/m,
    );
    lab.clock.advance(3_600_000);
    const json = await due('--json');
    assert.equal(json.code, 0);
    const { summary } = JSON.parse(json.out.trim().split('\n').at(-1) ?? '');
    assert.deepEqual(summary, { taken: 2, failed: 0, waiting: 0, left: 0, stopped: false });
    assert.equal(lab.states('b.example').wx202706r1, 'active');
    // One domain, asked for by name, still says that it waits.
    assert.equal((await keys('rotate', 'c.example', '--step')).code, 4);
  });

  it('gives 3 while a record is left to a person, and says which', async () => {
    lab.byHand = true;
    await keys('rotate', 'example.com', '--step');
    lab.hidden.add('wx202611r1._domainkey.example.com');
    const open = await due();
    assert.equal(open.code, 3);
    assert.match(open.err, /records are for you to put into DNS\nhint: "waxseal keys export-dns/);
    lab.byHand = false;
  });

  it('gives 3 each time for what no run will ever do, such as habits that are too short', async () => {
    await keys('rotate', 'example.com');
    lab.clock.advance(2 * DAY_MS);
    await keys('rotate', 'example.com');
    rotation = { ...habits, retireAfterDays: 5 };
    for (const json of [[], ['--json']]) {
      const stuck = await due(...json);
      assert.equal(stuck.code, 3);
      assert.match(
        stuck.err,
        /revoke wx202611r1, wx202611e1: retireAfter is 5 days, .*; raise keys\.rotation/,
      );
    }
    await keys('create', 'hand.example');
    rotation = undefined;
    assert.equal((await due()).code, 0, 'keys made by hand are left to that hand');
  });

  it('goes on where its role may not destroy keys, which is left to one that may', async () => {
    for (const domain of ['a.example', 'b.example', 'c.example', 'd.example']) {
      await keys('rotate', domain);
      lab.clock.advance(2 * DAY_MS);
      await keys('rotate', domain);
    }
    lab.clock.advance(9 * DAY_MS);
    assert.equal((await due()).code, 0);
    lab.clock.advance(31 * DAY_MS);
    lab.onDestroy = () => {
      throw new KmsError('access-denied', 'KMS in eu-west-1, ScheduleKeyDeletion: AccessDenied');
    };
    const before = lab.journal.length;
    const without = await due('--no-destroy', '--stop-after-failures', '1');
    assert.equal(without.code, 0);
    assert.match(without.out, /^0 domain\(s\) taken/);
    assert.equal(lab.journal.length, before);
    const tried = await due('--stop-after-failures', '1');
    assert.equal(tried.code, 0, tried.err);
    assert.match(
      tried.err,
      /AccessDenied; "waxseal keys destroy a\.example --reason TEXT" is left/,
    );
    assert.match(tried.out, /^4 domain\(s\) taken, 0 failed, 4 not over/m);
    assert.equal(lab.states('d.example').wx202611r1, 'revoked');
    const byHand = await keys('destroy', 'a.example', '--reason', 'old');
    assert.equal(byHand.code, 1);
    lab.onDestroy = () => {};
    assert.equal((await keys('destroy', 'a.example', '--reason', 'old')).code, 0);
  });

  it('says that nothing is due, or what, and how much is left for later', async () => {
    assert.equal((await keys('rotate', 'a.example')).code, 0);
    assert.match((await due('--dry-run')).out, /^nothing is due\n$/);
    await keys('rotate', 'b.example');
    lab.clock.advance(200 * DAY_MS);
    const plan = await due('--dry-run', '--max', '1');
    assert.match(
      plan.out,
      /^a\.example: create rsa2048, ed25519: due now\n1 more domain\(s\) are due/,
    );
    const json = JSON.parse((await due('--dry-run', '--max', '1', '--json')).out);
    assert.deepEqual(json.algorithms, ['rsa2048', 'ed25519']);
  });

  it('ends early when it is interrupted: what is begun is finished, the rest is left', async () => {
    for (const domain of ['a.example', 'b.example', 'c.example']) await keys('rotate', domain);
    lab.clock.advance(200 * DAY_MS);
    lab.onWrite = (_before, after) => {
      if (after.keys.some((key) => key.selector === 'wx202706r1')) lab.interrupt();
    };
    const ended = await due();
    assert.equal(ended.code, 130);
    assert.match(ended.err, /^ended early \(SIGINT\); the same command goes on from here$/m);
    assert.match(ended.out, /^1 domain\(s\) taken, .*2 due and left: interrupted$/m);
    assert.equal(lab.states('a.example').wx202706r1, 'created');
    assert.equal(lab.states('b.example').wx202706r1, undefined);
    assert.ok(Date.parse(lab.entry('a.example').lease?.until ?? '') <= lab.clock.wallMs());
    lab.onWrite = () => {};
    const rest = await due();
    assert.equal(rest.code, 0, rest.err);
    assert.equal(lab.states('a.example').wx202706r1, 'active');
  });
});

describe('keys rotate DOMAIN', () => {
  let lab: LifecycleLab;

  beforeEach(() => {
    lab = new LifecycleLab();
  });

  const keys = async (...args: readonly string[]) => await runKeys(lab, undefined, args);

  it('says when the next rotation is due, and each warning once', async () => {
    lab.settleMs = 60_000;
    lab.warnings = ['no resolver validates'];
    const { out, err, code } = await keys('rotate', 'example.com');
    assert.equal(code, 0, err);
    assert.match(out, /^next: example\.com: the next rotation is due at 2027-05-20 09:01:00Z$/m);
    assert.equal(err.match(/no resolver validates/g)?.length, 1);
    assert.match(
      err,
      /waiting, next look in 15 seconds \(until 2026-11-21T09:01:00Z\): [^;]*: seen; caches may [^;]*$/m,
    );
  });

  it('keeps the TTL of the records, unless it is told another one', async () => {
    await keys('rotate', 'example.com', '--ttl', '300');
    lab.clock.advance(2 * DAY_MS);
    await keys('rotate', 'example.com');
    lab.clock.advance(1000);
    await keys('rotate', 'example.com', '--again', '--ttl', '600');
    const ttls = lab.entry().keys.map(({ selector, ttlS }) => `${selector} ${ttlS}`);
    assert.deepEqual(
      ttls.filter((text) => text.includes('r')),
      ['wx202611r1 300', 'wx202611r2 300', 'wx202611r3 600'],
    );
  });

  it('goes on with new keys that are there only if they are what is asked for', async () => {
    await keys('create', 'example.com');
    const other = await keys('rotate', 'example.com', '--algorithm', 'rsa3072');
    assert.equal(other.code, 3);
    assert.match(other.err, /has a new key already, wx202611r1: rsa2048 with file/);
    assert.match(other.err, /hint: "waxseal keys abort example\.com" gives it up/);
    const elsewhere = await keys('rotate', 'example.com', '--backend', 'kms-sign');
    assert.equal(elsewhere.code, 3);
    const fits = ['--algorithm', 'rsa2048', '--backend', 'file'];
    assert.equal((await keys('rotate', 'example.com', ...fits)).code, 0);
  });

  it('leaves a broken name server out all the way, and journals why', async () => {
    await assert.rejects(
      keys('rotate', 'example.com', '--ignore-server', '192.0.2.9'),
      CommanderError,
    );
    lab.lame = '192.0.2.9';
    assert.equal((await keys('rotate', 'example.com', '--step')).code, 4);
    const reason = ['--reason', 'it burnt down'];
    const done = await keys('rotate', 'example.com', '--ignore-server', '192.0.2.9', ...reason);
    assert.equal(done.code, 0, done.err);
    assert.deepEqual(Object.values(lab.states()), ['active', 'active']);
    assert.match((await keys('history')).out, /server-ignored .*because: it burnt down/);
  });

  it('is done when somebody else did it while this one waited', async () => {
    lab.settleMs = 3_600_000;
    lab.sleep = async (ms) => {
      lab.sleep = async () => assert.fail('it waits on');
      lab.clock.advance(ms < 3_600_000 ? 3_600_000 : ms);
      const other = await runKeys(lab, undefined, ['rotate', '--due', '--step']);
      assert.equal(other.code, 0, other.err);
    };
    const { code, out, err } = await keys('rotate', 'example.com');
    assert.equal(code, 0, err);
    assert.deepEqual(lab.states(), { wx202611r1: 'active', wx202611e1: 'active' });
    assert.doesNotMatch(err, /^example\.com: wx202611r1, wx202611e1: waiting/m);
    assert.match(out, /the next rotation is due/);
  });

  it('can be interrupted while it waits, and goes on with the same keys', async () => {
    lab.settleMs = 3_600_000;
    lab.sleep = async () => lab.interrupt();
    const ended = await keys('rotate', 'example.com');
    assert.equal(ended.code, 130);
    assert.deepEqual(lab.states(), { wx202611r1: 'published', wx202611e1: 'published' });
    lab.sleep = async (ms) => lab.clock.advance(ms);
    assert.equal((await keys('rotate', 'example.com')).code, 0);
    assert.deepEqual(lab.states(), { wx202611r1: 'active', wx202611e1: 'active' });
  });
});
