import assert from 'node:assert/strict';
import { CommanderError } from 'commander';
import { WaxsealError } from '../../../src/base/errors.ts';
import type { RotationSetting } from '../../../src/config/config.ts';
import { recordName } from '../../../src/keys/key-name.ts';
import { recordValue } from '../../../src/keys/key-record.ts';
import { DAY_MS } from '../../../src/keys/lifecycle/policy.ts';
import { habits, runKeys } from '../../support/lifecycle-cli.ts';
import { LifecycleLab } from '../../support/lifecycle-lab.ts';

describe('keys commands of a rotation', () => {
  let lab: LifecycleLab;
  let rotation: RotationSetting | undefined;

  beforeEach(() => {
    lab = new LifecycleLab();
    rotation = undefined;
  });

  const keys = async (...args: readonly string[]) => await runKeys(lab, rotation, args);
  const name = (selector: string) => recordName(selector, 'example.com');

  it('rotate goes to active, says when the rest falls due, and does not begin again', async () => {
    lab.settleMs = 3_600_000;
    const first = await keys('rotate', 'example.com');
    assert.equal(first.code, 0, first.err);
    const waits = first.err.match(
      /waiting, next look .* \(until 2026-11-21T10:00:00Z\): \S+: seen;.*/g,
    );
    assert.equal(waits?.length, 12, 'every five minutes of the hour');
    assert.match(first.out, /wx202611r1, wx202611e1: active/);
    assert.deepEqual(lab.states(), { wx202611r1: 'active', wx202611e1: 'active' });
    const again = await keys('rotate', 'example.com');
    assert.equal(again.code, 0);
    assert.match(again.out, /nothing to do: .*--again/);
    lab.clock.advance(200 * DAY_MS);
    const second = await keys('rotate', 'example.com');
    assert.equal(second.code, 0, second.err);
    assert.match(second.out, /next: example\.com: revoke wx202611r1, wx202611e1: 2027-06-17 /);
    lab.clock.advance(2 * DAY_MS);
    assert.match((await keys('rotate', 'example.com')).out, /wx202611r1 is still retiring/);
    await keys('rotate', 'example.com', '--again');
    assert.equal(lab.states().wx202706r2, 'active');
  });

  it('rotate --step never waits, and --due goes on with it', async () => {
    lab.settleMs = 3_600_000;
    const begun = await keys('rotate', 'example.com', '--step', '--json');
    assert.equal(begun.code, 4);
    const report = JSON.parse(begun.out);
    assert.deepEqual(
      report.outcomes.map((one: { step: string; outcome: string }) => `${one.step} ${one.outcome}`),
      ['create done', 'publish done', 'verify waiting'],
    );
    assert.equal(report.next[0].at, '2026-11-21T10:00:00.000Z');
    assert.match((await keys('rotate', '--due', '--step')).out, /^0 domain\(s\) taken/);
    lab.clock.advance(3_600_000);
    const done = await keys('rotate', '--due', '--step');
    assert.equal(done.code, 0, done.err);
    assert.deepEqual(lab.states(), { wx202611r1: 'active', wx202611e1: 'active' });
  });

  it('rotate says once what every look at DNS says', async () => {
    lab.warnings = ['no resolver validates DNSSEC'];
    const { code, out, err } = await keys('rotate', 'example.com', '--step');
    assert.equal(code, 0, err);
    assert.equal(out.match(/no resolver validates/g)?.length, 1);
    assert.equal(err.match(/no resolver validates/g), null);
  });

  it('rotate hands the record to a person where nobody else writes it', async () => {
    lab.byHand = true;
    lab.hidden.add(name('wx202611r1'));
    const { code, out, err } = await keys('rotate', 'example.com', '--step');
    assert.equal(code, 4);
    assert.equal(out.split(name('wx202611r1')).length, 2, 'once, with line ends');
    assert.doesNotMatch(err, /TXT/);
    // Without --step somebody looks on while it waits.
    const waits = await keys('rotate', 'other.example');
    assert.match(waits.err, /^other\.example: .*\n.*wx202611r1\._domainkey\.other\.example/m);
  });

  it('rotate tells a publisher that failed from one that found something in the way', async () => {
    lab.publisherFails = true;
    const failed = await keys('rotate', 'example.com', '--step');
    assert.equal(failed.code, 1);
    assert.match(failed.err, /publish failed: the server does not answer\nhint: try again/);
    lab.publisherFails = false;
    lab.zone.set(name('wx202611r1'), { value: 'v=DKIM1; p=AAAA', ttlS: 60 });
    const refused = await keys('rotate', 'example.com', '--step');
    assert.equal(refused.code, 3);
    assert.match(
      refused.err,
      /did not write: v=DKIM1; p=AAAA\nhint: .*"waxseal keys abort example/,
    );
    // It was meant to be written before, and never was.
    assert.match(refused.err, /hint: \S+: it was not written here/);
    assert.equal(lab.zone.get(name('wx202611r1'))?.value, 'v=DKIM1; p=AAAA');
  });

  it('rotate --due takes the oldest first, and stops after failures', async () => {
    for (const domain of ['a.example', 'b.example', 'c.example', 'd.example']) {
      await keys('rotate', domain);
      lab.clock.advance(DAY_MS);
    }
    lab.clock.advance(180 * DAY_MS);
    const plan = await keys('rotate', '--due', '--dry-run', '--max', '2');
    assert.deepEqual(
      plan.out.match(/^\w\.example: create rsa2048, ed25519: due now$/gm)?.length,
      2,
    );
    lab.publisherFails = true;
    const limit = ['--stop-after-failures', '2'];
    const stopped = await keys('rotate', '--due', '--step', '--json', ...limit);
    assert.equal(stopped.code, 1);
    const lines = stopped.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.equal(lines.length, 3);
    assert.equal(lines[0].domain, 'a.example');
    assert.deepEqual(lines[2].summary, { taken: 2, failed: 2, waiting: 0, left: 2, stopped: true });
    lab.publisherFails = false;
    const some = await keys('rotate', '--due', '--step', '--max', '3', '--concurrency', '2');
    assert.equal(some.code, 0, some.err);
    assert.match(some.out, /3 domain\(s\) taken, 0 failed, 1 due and left/);
    assert.deepEqual(Object.values(lab.states('d.example')), ['active', 'active']);
    assert.equal(lab.states('c.example').wx202611r1, 'retiring');
  });

  it('rotate --due takes a domain without active keys before all others', async () => {
    await keys('rotate', 'old.example');
    await keys('rotate', 'stolen.example');
    lab.clock.advance(200 * DAY_MS);
    await keys('emergency', 'stolen.example', '--reason', 'stolen');
    lab.settleMs = 1000;
    await keys('rotate', 'stolen.example', '--step');
    lab.clock.advance(1000);
    const plan = await keys('rotate', '--due', '--dry-run', '--max', '1');
    assert.match(plan.out, /^stolen\.example: verify /);
  });

  it('revoke and destroy wait for their time, and say until when', async () => {
    await keys('rotate', 'example.com');
    lab.clock.advance(2 * DAY_MS);
    await keys('rotate', 'example.com');
    const early = await keys('revoke', 'example.com');
    assert.equal(early.code, 4);
    assert.match(early.err, /waiting \(until 2026-12-01 09:00:00Z\): mail signed with the old key/);
    lab.clock.advance(8 * DAY_MS);
    const revoked = await keys('revoke', 'example.com');
    assert.equal(revoked.code, 0, revoked.err);
    assert.equal(lab.zone.get(name('wx202611r1'))?.value, 'v=DKIM1; k=rsa; p=');
    assert.equal((await keys('destroy', 'example.com', '--reason', 'old')).code, 4);
    lab.clock.advance(30 * DAY_MS);
    const destroyed = await keys('destroy', 'example.com', '--reason', 'old');
    assert.equal(destroyed.code, 0, destroyed.err);
    assert.equal(lab.states().wx202611r1, 'destroyed');
    assert.equal(lab.zone.has(name('wx202611r1')), false);
    assert.equal((await keys('cancel-destroy', 'example.com', '--selector', 'wx202611r1')).code, 3);
    assert.match(
      (await keys('history', 'example.com')).out,
      /destroyed {2}example\.com {2}wx202611r1 .*because: old/,
    );
  });

  it('revoke refuses habits under which mail would fail', async () => {
    await keys('rotate', 'example.com');
    lab.clock.advance(2 * DAY_MS);
    await keys('rotate', 'example.com');
    lab.clock.advance(100 * DAY_MS);
    rotation = { ...habits, retireAfterDays: 5 };
    const refused = await keys('revoke', 'example.com');
    assert.equal(refused.code, 3);
    assert.match(refused.err, /retireAfter is 5 days, but mail may wait 5 days/);
    assert.match(refused.err, /hint: raise keys\.rotation\.retireAfterDays/);
    const due = await keys('rotate', '--due', '--step');
    assert.equal(lab.states().wx202611r1, 'retiring', due.out);
    rotation = {
      ...habits,
      retireAfterDays: 5,
      domains: [{ domains: ['.com'], retireAfterDays: 6 }],
    };
    assert.equal((await keys('revoke', 'example.com')).code, 0);
  });

  it('verify says what is missing where, and journals which server it ignores', async () => {
    await keys('create', 'example.com');
    assert.equal((await keys('verify', 'example.com')).code, 3);
    await keys('publish', 'example.com');
    lab.hidden.add(name('wx202611e1'));
    const missing = await keys('verify', 'example.com', '--timeout', '0');
    assert.equal(missing.code, 4);
    assert.match(
      missing.err,
      /wx202611e1\._domainkey\.example\.com: ns\.example \(192\.0\.2\.1\): absent/,
    );
    assert.equal(lab.states().wx202611r1, 'verified');
    const ignore = ['--ignore-server', '192.0.2.9'];
    await assert.rejects(keys('verify', 'example.com', ...ignore), CommanderError);
    lab.hidden.clear();
    const done = await keys('verify', 'example.com', ...ignore, '--reason', 'it is lame');
    assert.equal(done.code, 0, done.err);
    assert.match(
      (await keys('history', 'example.com')).out,
      /server-ignored .*because: it is lame/,
    );
  });

  it('publish --selector writes a record again that was lost, and no other', async () => {
    await keys('rotate', 'example.com');
    const record = lab.zone.get(name('wx202611r1'))!;
    lab.zone.delete(name('wx202611r1'));
    assert.match((await keys('publish', 'example.com')).out, /nothing to do: .*--selector/);
    const again = await keys('publish', 'example.com', '--selector', 'wx202611r1');
    assert.equal(again.code, 0, again.err);
    assert.deepEqual(lab.zone.get(name('wx202611r1')), record);
    assert.equal(lab.states().wx202611r1, 'active');
    lab.zone.set(name('wx202611r1'), { value: 'v=spf1', ttlS: 60 });
    assert.equal((await keys('publish', 'example.com', '--selector', 'wx202611r1')).code, 3);
    assert.equal(lab.zone.get(name('wx202611r1'))?.value, 'v=spf1');
  });

  it('publish takes a record over only when told, and only an exact one', async () => {
    await keys('create', 'example.com', '--algorithm', 'rsa2048');
    lab.zone.set(name('wx202611r1'), { value: recordValue(lab.entry().keys[0]!), ttlS: 60 });
    const refused = await keys('publish', 'example.com');
    assert.equal(refused.code, 3);
    assert.match(refused.err, /--adopt-record/);
    assert.equal((await keys('publish', 'example.com', '--adopt-record')).code, 0);
    assert.equal(lab.states().wx202611r1, 'published');
  });

  it('status shows each key, what DNS says and what comes next', async () => {
    await keys('rotate', 'example.com');
    lab.hidden.add(name('wx202611e1'));
    lab.clock.advance(DAY_MS);
    const { code, out } = await keys('status');
    assert.equal(code, 0);
    assert.match(
      out,
      /^example\.com {2}wx202611r1 {2}rsa2048 {4}file {5}active {2}1 day +seen \(1 of 1/m,
    );
    assert.match(out, /^ {4}ns\.example \(192\.0\.2\.1\): absent$/m);
    assert.match(out, /^ {2}next: example\.com: the next rotation is due at 2027-05-20 /m);
    const line = JSON.parse((await keys('status', 'example.com', '--json')).out);
    assert.equal(line.keys[1].dns.verdict, 'not-yet');
    assert.equal(line.next[0].when, 'resting');
    assert.doesNotMatch((await keys('status', '--no-dns')).out, /seen/);
  });

  it('status asks about no further domains when nobody reads on', async () => {
    for (let n = 0; n < 20; n += 1) lab.put({ ...lab.entry(`d${n}.example`), keys: [] });
    await keys('create', 'd0.example');
    const { seen } = lab;
    lab.seen = (...args) => {
      lab.interrupt();
      return seen.apply(lab, args);
    };
    const { out } = await keys('status');
    assert.equal(out.match(/^d\d+\.example +(?:wx\w+r1|\(no keys\))/gm)?.length, 8);
  });

  it('status shows no private half, not even encrypted', async () => {
    await keys('create', 'example.com', '--algorithm', 'ed25519');
    const entry = lab.entry();
    const material = { ciphertext: 'AQIDAHhx', sealed: 'V1NLMQ', wrappingKey: 'arn:aws:kms:x' };
    lab.put({ ...entry, keys: entry.keys.map((key) => ({ ...key, material })) });
    const { out } = await keys('status', '--json');
    assert.doesNotMatch(out, /AQIDAHhx|V1NLMQ/);
    assert.match(out, /"wrappingKey":"arn:aws:kms:x"/);
  });

  it('status --watch looks again and again', async () => {
    await keys('rotate', 'example.com');
    let looks = 0;
    lab.sleep = async () => {
      looks += 1;
      lab.hidden.add(name('wx202611r1'));
      if (looks === 2) throw new WaxsealError('interrupted', 'enough');
    };
    const { out } = await keys('status', '--watch');
    assert.equal(out.match(/^DOMAIN/gm)?.length, 2);
    assert.match(out, /wx202611r1 .*seen \(1 of 1 server\)[\s\S]*wx202611r1 .*not-yet \(0 of 1/);
  });

  it('history shows one domain or all', async () => {
    await keys('rotate', 'a.example');
    await keys('rotate', 'b.example');
    const all = (await keys('history')).out;
    assert.match(all, /activated {2}a\.example/);
    assert.match(all, /activated {2}b\.example/);
    const one = (await keys('history', 'a.example', '--json')).out.trim().split('\n');
    assert.ok(one.every((line) => JSON.parse(line).domain === 'a.example'));
  });

  it('test signs a probe and looks at DNS', async () => {
    await keys('rotate', 'example.com');
    const good = await keys('test', 'example.com');
    assert.equal(good.code, 0, good.err);
    assert.match(good.out, /wx202611r1 \(active\): signs: ok; DNS: seen/);
    lab.hidden.add(name('wx202611r1'));
    for (const [id, key] of lab.keys) lab.keys.set(id, { ...key, state: 'disabled' });
    const bad = await keys('test', 'example.com');
    assert.equal(bad.code, 1);
    assert.match(bad.out, /wx202611r1 \(active\): signs: .*it is disabled; DNS: .*absent/);
  });

  const mistakes: readonly (readonly string[])[] = [
    ['rotate'],
    ['rotate', 'example.com', '--due'],
    ['rotate', '--due', '--max', '0'],
    ['rotate', 'example.com', '--timeout', 'soon'],
    ['destroy', 'example.com'],
    ['emergency', 'example.com', '--reason', ' '],
    ['retire', 'example.com'],
    ['cancel-destroy', 'example.com'],
  ];
  for (const args of mistakes) {
    it(`refuse "keys ${args.join(' ')}" before anything is done`, async () => {
      await assert.rejects(keys(...args), CommanderError);
      assert.equal(lab.journal.length, 0);
    });
  }

  it('--dry-run changes nothing', async () => {
    await keys('rotate', 'example.com');
    lab.clock.advance(2 * DAY_MS);
    const before = JSON.stringify([lab.entry(), lab.journal.length]);
    const runs: readonly (readonly string[])[] = [
      ['rotate', 'example.com'],
      ['create', 'example.com'],
      ['emergency', 'example.com', '--reason', 'x'],
      ['retire', 'example.com', '--selector', 'wx202611e1'],
      ['rotate', 'example.com', '--json'],
    ];
    for (const args of runs) {
      const { code, out } = await keys(...args, '--dry-run');
      assert.equal(code, 0, args.join(' '));
      assert.notEqual(out, '');
    }
    assert.equal(JSON.stringify([lab.entry(), lab.journal.length]), before);
  });

  it('name slots in turn, and never one that a cache may still hold', async () => {
    rotation = { ...habits, names: 'slots' };
    await keys('rotate', 'example.com', '--algorithm', 'rsa2048');
    for (let count = 0; count < 2; count += 1) {
      lab.clock.advance(1);
      await keys('rotate', 'example.com', '--again');
    }
    assert.deepEqual(Object.keys(lab.states()), ['wxr1', 'wxr2', 'wxr3']);
    lab.clock.advance(1);
    const full = await keys('rotate', 'example.com', '--again');
    assert.equal(full.code, 3);
    assert.match(full.err, /no free slot .*: wxr1 is retiring; wxr2 is retiring; wxr3 is active/);
    lab.clock.advance(8 * DAY_MS);
    await keys('rotate', '--due', '--step');
    lab.clock.advance(30 * DAY_MS);
    await keys('rotate', '--due', '--step');
    lab.clock.advance(1000);
    assert.match((await keys('rotate', 'example.com')).err, /wxr1 is destroyed, free at/);
    lab.clock.advance(DAY_MS);
    assert.equal((await keys('rotate', 'example.com')).code, 0);
    assert.equal(lab.states().wxr1, 'active');
  });
});
