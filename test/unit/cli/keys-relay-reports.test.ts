import assert from 'node:assert/strict';
import type { RelayReport } from '../../../src/keys/store/relay-reports.ts';
import { habits, runKeys } from '../../support/lifecycle-cli.ts';
import { LifecycleLab } from '../../support/lifecycle-lab.ts';

describe('keys commands and what relays report', () => {
  let lab: LifecycleLab;

  beforeEach(() => {
    lab = new LifecycleLab();
  });

  const keys = async (...args: readonly string[]) => await runKeys(lab, undefined, args);

  /** @param tried by selector, whether the relay can use the key */
  function report(relay: string, tried: Readonly<Record<string, boolean>>): RelayReport {
    const nowMs = lab.clock.wallMs();
    const at = new Date(nowMs).toISOString();
    return {
      relay,
      at,
      goodUntil: new Date(nowMs + 90_000).toISOString(),
      host: relay,
      version: '1',
      startedAt: at,
      generation: 1,
      keys: Object.entries(tried).map(([selector, usable]) => ({
        domain: 'example.com',
        selector,
        usable,
        reason: 'AccessDenied',
      })),
      keysMore: 0,
    };
  }
  const BOTH = { wx202611r1: true, wx202611e1: true };

  it('a relay that cannot use the new key holds the activation, and is named', async () => {
    lab.reports = [report('relay-2', { ...BOTH, wx202611r1: false })];
    const held = await keys('rotate', 'example.com', '--step');
    assert.equal(held.code, 4);
    assert.match(
      held.out,
      /activate .*: a relay cannot use the new keys yet: relay-2: wx202611r1 AccessDenied/,
    );
    lab.clock.advance(10_000);
    lab.reports = [report('relay-2', BOTH)];
    assert.equal((await keys('rotate', 'example.com', '--step')).code, 0);
  });

  it('a relay that cannot use a standby key any more is named by status', async () => {
    const standby = { ...habits, standby: true };
    await runKeys(lab, standby, ['rotate', 'example.com']);
    assert.equal((await runKeys(lab, standby, ['rotate', '--due', '--step'])).code, 0);
    assert.equal(lab.states().wx202611r2, 'verified');
    const status = async (...more: string[]) => {
      lab.clock.advance(10_000);
      const run = await runKeys(lab, standby, ['status', 'example.com', ...more]);
      assert.equal(run.code, 0, run.err);
      return run.out;
    };
    assert.doesNotMatch(await status(), /cannot use/);
    lab.reports = [report('relay-2', { wx202611e2: true, wx202611r2: false })];
    assert.match(await status(), /^ {4}a relay cannot use it: relay-2: wx202611r2 AccessDenied$/m);
    const [key] = JSON.parse(await status('--json')).keys.slice(-2);
    assert.deepEqual(key.complaints, ['relay-2: wx202611r2 AccessDenied']);
  });

  describe('with one relay of two cut off from the keyring', () => {
    const step = async () =>
      await keys('rotate', 'example.com', '--step', '--backend', 'kms-sign', '--json');

    beforeEach(async () => {
      await step();
      lab.reports = [report('relay-1', BOTH), report('relay-2', {})];
      lab.clock.advance(10_000);
      const { code, out } = await step();
      assert.equal(code, 4);
      assert.match(out, /not all relays report that they can use the keys/);
      assert.deepEqual(lab.states(), { wx202611r1: 'verified', wx202611e1: 'verified' });
    });

    /** Until `authLag` it waits, then no more; another relay's trial is enough for the private key. */
    async function waitsForAuthLag(other: () => RelayReport): Promise<void> {
      for (const key of lab.keys.values()) Object.assign(key, { state: 'disabled' });
      for (const [afterMs, code] of [
        [81_000, 4],
        [208_000, 4],
        [1000, 0],
      ] as const) {
        lab.clock.advance(afterMs);
        lab.reports = [report('relay-1', BOTH), other()];
        assert.equal((await step()).code, code);
      }
      assert.deepEqual(lab.states(), { wx202611r1: 'active', wx202611e1: 'active' });
    }

    it('the activation waits for authLag, though its last report is old', async () => {
      const [, last] = lab.reports;
      await waitsForAuthLag(() => last ?? report('relay-2', {}));
    });

    it('the same, should it go on to report', async () => {
      await waitsForAuthLag(() => report('relay-2', {}));
    });

    it('the same, should its clock be slow, so that its reports are always old', async () => {
      await waitsForAuthLag(() => slow('relay-2', {}));
    });

    it('the same, should such a report say that the relay cannot use a key', async () => {
      await waitsForAuthLag(() => slow('relay-2', { wx202611r1: false, wx202611e1: true }));
    });

    it('the same, where no relay is seen to go on, whatever the last reports say', async () => {
      lab.clock.advance(280_000);
      lab.reports = [slow('relay-1', BOTH), slow('relay-2', BOTH)];
      assert.equal((await step()).code, 4);
      lab.clock.advance(10_000);
      assert.equal((await step()).code, 0);
    });

    const gone: readonly [string, () => RelayReport][] = [
      ['ended', () => ({ ...report('relay-2', {}), goodUntil: '1970-01-01T00:00:00.000Z' })],
      ['went yesterday', () => slow('relay-2', {}, 86_400_000 + 90_001)],
      ['was started anew on its host', () => ({ ...slow('relay-2', {}), host: 'relay-1' })],
      ['could use the keys before it went', () => slow('relay-2', BOTH)],
    ];
    for (const [what, other] of gone) {
      it(`and not at all where it ${what}`, async () => {
        lab.clock.advance(10_000);
        lab.reports = [report('relay-1', BOTH), other()];
        assert.equal((await step()).code, 0);
        assert.deepEqual(lab.states(), { wx202611r1: 'active', wx202611e1: 'active' });
      });
    }
  });

  /** Of a relay whose clock is behind, or that is gone for so long. */
  function slow(
    relay: string,
    tried: Readonly<Record<string, boolean>>,
    behindMs = 600_000,
  ): RelayReport {
    const behind = (time: string) => new Date(Date.parse(time) - behindMs).toISOString();
    const { at, goodUntil, startedAt, ...rest } = report(relay, tried);
    const times = { at: behind(at), goodUntil: behind(goodUntil), startedAt: behind(startedAt) };
    return { ...rest, ...times };
  }

  it('status names relays whose clocks are wrong', async () => {
    await keys('rotate', 'example.com');
    lab.reports = [
      ...[report('relay-1', {}), slow('gone', {}), slow('relay-2', {}, -300_000)],
      slow('relay-3', {}, -50_000),
    ];
    lab.clock.advance(3000);
    const { err } = await keys('status', '--no-dns');
    assert.equal(
      err,
      'warning: the clock of relay relay-2 is 5 minutes ahead of that of this machine; one of the two is wrong\n',
    );
    let looks = 0;
    lab.sleep = async (ms) => {
      lab.clock.advance(ms);
      lab.reports = [report('relay-1', {}), slow('relay-4', {})];
      looks += 1;
      if (looks === 3) lab.interrupt();
    };
    const watched = await keys('status', '--no-dns', '--watch');
    assert.match(watched.err, /the clock of relay relay-4 is 10 minutes behind that of this/);
    assert.doesNotMatch(watched.err, /relay-1|gone/);
  });

  it('a relay whose clock is slow is heard by a command that sees its reports change', async () => {
    const endMs = lab.clock.wallMs() + 1_800_000;
    const isMended = () => lab.clock.wallMs() >= endMs;
    const reported = () => {
      lab.reports = [report('relay-1', BOTH), slow('relay-2', { ...BOTH, wx202611e1: isMended() })];
    };
    reported();
    lab.sleep = async (ms) => {
      lab.clock.advance(ms);
      reported();
    };
    const done = await keys('rotate', 'example.com', '--backend', 'kms-sign');
    assert.equal(done.code, 0, done.err);
    assert.match(done.err, /a relay cannot use the new keys yet: relay-2: wx202611e1 AccessDenied/);
    assert.ok(lab.clock.wallMs() >= endMs);
  });
});
