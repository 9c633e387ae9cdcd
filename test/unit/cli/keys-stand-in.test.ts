import assert from 'node:assert/strict';
import type { RelayReport, StandInReport } from '../../../src/keys/store/relay-reports.ts';
import { habits, runKeys } from '../../support/lifecycle-cli.ts';
import { LifecycleLab } from '../../support/lifecycle-lab.ts';
import type { Ran } from '../../support/run-keys.ts';

const DAY_MS = 86_400_000;
const DOMAIN = 'example.com';
const OLD = 'wx202611r1';
const NEW = 'wx202611r2';

/**
 * A relay cannot use the new key for 20 days, and the old one signs there. Afterwards mail of that
 * day is under way for as long as mail of the day of the activation.
 */
describe('a retiring key that stood in for its successor', () => {
  let lab: LifecycleLab;
  let activatedMs: number;

  beforeEach(async () => {
    lab = new LifecycleLab();
    await keys('rotate', DOMAIN);
    lab.clock.advance(2 * DAY_MS);
    await keys('rotate', DOMAIN);
    activatedMs = lab.clock.wallMs();
    lab.clock.advance(20 * DAY_MS);
  });

  async function keys(...args: string[]): Promise<Ran> {
    lab.clock.advance(3000); // reports are read anew
    return await runKeys(lab, { ...habits }, args);
  }

  const iso = (ms: number) => new Date(ms).toISOString();
  const shown = (ms: number) => iso(ms).replace('T', ' ').replace(/\.\d+/, '');
  const revoke = async () => await keys('revoke', DOMAIN, '--selector', OLD);
  const note = () => lab.entry().keys.find(({ selector }) => selector === OLD)?.stoodInAt;

  function report(
    standIns: readonly StandInReport[],
    rest: Partial<RelayReport> = {},
  ): RelayReport {
    const nowMs = lab.clock.wallMs();
    return {
      ...{ relay: 'relay-1', host: 'relay-1', version: '1', startedAt: iso(activatedMs) },
      ...{ at: iso(nowMs), goodUntil: iso(nowMs + 90_000), generation: 9, keys: [], keysMore: 0 },
      ...{ standIns, ...rest },
    };
  }

  /** It can use the new key since just now. */
  function mended(rest: Partial<RelayReport> = {}): number {
    const nowMs = lab.clock.wallMs();
    lab.reports = [report([{ domain: DOMAIN, selector: OLD, at: iso(nowMs) }], rest)];
    return nowMs;
  }

  it('is due at once where no relay tells of that, be it of an older version', async () => {
    const { standIns: _, ...older } = report([]);
    lab.reports = [older];
    assert.equal((await revoke()).code, 0);
    assert.equal(lab.states()[OLD], 'revoked');
  });

  it('is withdrawn no sooner than retireAfter and maxStale after that, and status says why', async () => {
    const dueMs = mended() + 8 * DAY_MS;
    const waiting = await revoke();
    assert.equal(waiting.code, 4, waiting.out);
    const why = `(until ${shown(dueMs)}): a relay signed with ${OLD} until ${shown(dueMs - 8 * DAY_MS)}`;
    assert.ok(waiting.err.includes(why), waiting.err);
    const status = await keys('status', DOMAIN);
    const line = status.out.split('\n').find((text) => text.includes(`revoke ${OLD}`));
    assert.match(line ?? '', /a relay signed with wx202611r1 until .*could not use the new key/);
    assert.ok(line?.includes(shown(dueMs)), line);
    const plan = await keys('revoke', DOMAIN, '--selector', OLD, '--dry-run');
    assert.ok(plan.out.includes(`not before ${shown(dueMs)}`), plan.out);
    lab.clock.advance(8 * DAY_MS - 60_000);
    assert.equal((await revoke()).code, 4);
    lab.clock.advance(60_000);
    assert.equal((await revoke()).code, 0);
    assert.equal(lab.states()[OLD], 'revoked');
  });

  it('has no time while it goes on: the relay is to be mended', async () => {
    mended({ keys: [{ domain: DOMAIN, selector: NEW, usable: false, reason: 'AccessDenied' }] });
    const waiting = await revoke();
    assert.equal(waiting.code, 4);
    const why =
      /waiting: a relay still signs with wx202611r1, .*: relay-1: wx202611r2 AccessDenied/;
    assert.match(waiting.err, why);
    const status = await keys('status', DOMAIN);
    assert.match(status.out, /revoke wx202611r1: a relay still signs with wx202611r1/);
  });

  it('waits too where the relay has ended meanwhile, or its clock is slow', async () => {
    mended({ keys: [], goodUntil: iso(0) });
    const due = await keys('rotate', '--due', '--step');
    assert.equal(due.code, 0, due.err);
    assert.equal(lab.states()[OLD], 'retiring');
  });

  it('waits where the relay has more to tell than its report lists', async () => {
    lab.reports = [report([], { standInsMoreAt: iso(lab.clock.wallMs()) })];
    assert.equal((await revoke()).code, 4);
  });

  it('counts a time that has not come yet as now', async () => {
    const nowMs = lab.clock.wallMs();
    const at = iso(nowMs + 100 * DAY_MS);
    lab.reports = [report([{ domain: DOMAIN, selector: OLD, at }])];
    assert.equal((await revoke()).code, 4);
    lab.reports = [];
    lab.clock.advance(8 * DAY_MS + 10_000);
    assert.equal((await revoke()).code, 0);
  });

  for (const command of [
    ['rotate', '--due', '--step'],
    ['revoke', DOMAIN],
  ]) {
    it(`is noted in the manifest by ${command.join(' ')}, so that no report need be kept`, async () => {
      const atMs = mended();
      await keys(...command);
      assert.equal(note(), iso(atMs));
      const [noted] = lab.journal.filter(({ event }) => event === 'stood-in');
      assert.equal(noted?.selector, OLD);
      assert.equal(noted?.details?.at, iso(atMs));
      lab.reports = [];
      lab.clock.advance(8 * DAY_MS - 60_000);
      assert.equal((await revoke()).code, 4);
      lab.clock.advance(60_000);
      assert.equal((await revoke()).code, 0);
    });
  }

  it('is noted once a day while that goes on, and once more when it is over', async () => {
    const first = mended();
    await keys('rotate', '--due', '--step');
    for (let hour = 1; hour <= 23; hour += 1) {
      lab.clock.advance(3_590_000);
      mended();
      await keys('rotate', '--due', '--step');
    }
    assert.equal(note(), iso(first));
    lab.clock.advance(7_200_000);
    const next = mended();
    await keys('rotate', '--due', '--step');
    assert.equal(note(), iso(next));
    lab.clock.advance(600_000);
    const last = mended();
    await keys('rotate', '--due', '--step');
    assert.equal(note(), iso(next));
    lab.clock.advance(3_600_000);
    await keys('rotate', '--due', '--step');
    assert.equal(note(), iso(last));
  });

  it('changes nothing for a dry run and for status', async () => {
    mended();
    await keys('status', DOMAIN);
    await keys('rotate', '--due', '--step', '--dry-run');
    await keys('revoke', DOMAIN, '--dry-run');
    assert.equal(note(), undefined);
  });

  it('is withdrawn at once in an emergency', async () => {
    mended();
    const done = await keys('emergency', DOMAIN, '--selector', OLD, '--reason', 'stolen');
    assert.equal(done.code, 0, done.err);
    assert.equal(lab.states()[OLD], 'revoked');
    assert.equal(lab.states()[NEW], 'active');
  });
});
