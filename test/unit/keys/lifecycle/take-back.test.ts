import assert from 'node:assert/strict';
import type { BackendName } from '../../../../src/keys/backend-names.ts';
import { recordName } from '../../../../src/keys/key-name.ts';
import { nextSteps } from '../../../../src/keys/lifecycle/next-steps.ts';
import { DAY_MS } from '../../../../src/keys/lifecycle/policy.ts';
import { abortKeys, rollbackChoice } from '../../../../src/keys/lifecycle/take-back.ts';
import { habits, runKeys } from '../../../support/lifecycle-cli.ts';
import { LifecycleLab } from '../../../support/lifecycle-lab.ts';
import { build } from '../../config/build.ts';

const DOMAIN = 'a.example';

describe('giving up a key that may have stood in for an active one', () => {
  let lab: LifecycleLab;

  /** An active RSA key in KMS, and a verified one wrapped by it. */
  beforeEach(async () => {
    lab = new LifecycleLab();
    const rotated = await runKeys(lab, { ...habits }, ['rotate', DOMAIN]);
    assert.equal(rotated.code, 0, rotated.err);
    for (const args of [
      ['create', DOMAIN, '--algorithm', 'rsa2048'],
      ['publish', DOMAIN],
    ]) {
      assert.equal((await runKeys(lab, { ...habits }, args)).code, 0);
    }
    assert.equal((await runKeys(lab, { ...habits }, ['verify', DOMAIN])).code, 0);
    const entry = lab.entry(DOMAIN);
    const backendOf = (state: string): BackendName =>
      state === 'verified' ? 'kms-envelope' : 'kms-sign';
    const keys = entry.keys.map((key) => ({ ...key, backend: backendOf(key.state) }));
    lab.put({ ...entry, keys });
  });

  const selector = () => lab.entry(DOMAIN).keys.at(-1)?.selector ?? '';
  const abort = async (fallBacks: boolean) =>
    await abortKeys(
      { ...lab.work(), fallBacks },
      { entry: lab.entry(DOMAIN), selectors: [selector()] },
    );

  it('retires it: mail that it signed may be under way', async () => {
    const run = await abort(true);
    assert.equal(run.result.kind, 'done');
    assert.match(run.notes.join(), /may have stood in/);
    assert.equal(lab.states(DOMAIN)[selector()], 'retiring');
    assert.equal([...lab.keys.values()].filter(({ state }) => state === 'live').length, 3);
    const entry = lab.entry(DOMAIN);
    assert.deepEqual(rollbackChoice(entry), [], 'it was never active');
    const { policy } = lab.work();
    const facts = {
      wish: { kind: 'when-old' },
      algorithms: [],
      relays: new Map(),
      usableAtOnce: new Set<string>(),
      fallBacks: true,
      force: false,
    } as const;
    const steps = nextSteps(entry, policy, lab.clock.wallMs(), facts);
    const revoke = steps.find(({ step }) => step === 'revoke');
    assert.ok(revoke?.kind === 'waiting');
    const waits = policy.retireAfterMs + policy.maxStaleMs;
    assert.equal(revoke.atMs, lab.clock.wallMs() + waits);
  });

  it('does not take it for a new key that is not wanted, or wanted', async () => {
    const kms = { ...build('').config.kms, fallback: true };
    const run = async (...args: string[]) => await runKeys(lab, { ...habits }, args, kms);
    const before = lab.states(DOMAIN);
    const aborted = await run('abort', DOMAIN);
    assert.deepEqual(
      [aborted.code, aborted.out],
      [0, `${DOMAIN}: nothing to do: every key is active, or was\n`],
    );
    const activated = await run('activate', DOMAIN);
    assert.match(activated.out, /nothing to do, active: /);
    lab.clock.advance(1);
    const planned = await run('rotate', DOMAIN, '--again', '--backend', 'kms-sign', '--dry-run');
    assert.match(planned.out, /create rsa2048 with kms-envelope: due now/);
    assert.deepEqual(lab.states(DOMAIN), before);
    const other = await run('rotate', DOMAIN, '--again', '--backend', 'file');
    assert.equal(other.code, 3, other.out + other.err);
    assert.ok(other.err.includes(`keys abort ${DOMAIN} --selector ${selector()}" gives it up`));
    const named = await run('abort', DOMAIN, '--selector', selector());
    assert.equal(named.code, 0, named.err);
    assert.equal(lab.states(DOMAIN)[selector()], 'retiring');
  });

  it('leaves it alone from then on, until it is destroyed as active keys are', async () => {
    const stale = { entry: lab.entry(DOMAIN), selectors: [selector()] };
    const work = { ...lab.work(), fallBacks: true };
    await abortKeys(work, stale);
    assert.equal((await abortKeys(work, stale)).result.kind, 'overtaken');
    assert.equal(lab.states(DOMAIN)[selector()], 'retiring');
    lab.clock.advance(9 * DAY_MS);
    const run = async (...args: string[]) => await runKeys(lab, { ...habits }, args);
    assert.equal((await run('revoke', DOMAIN)).code, 0);
    assert.match((await run('abort', DOMAIN)).out, /nothing to do/);
    assert.equal(lab.states(DOMAIN)[selector()], 'revoked');
    assert.match(lab.zone.get(recordName(selector(), DOMAIN))?.value ?? '', /p=$/);
  });

  it('leaves the record, and the key in KMS, of a key that was imported and never signed here', async () => {
    const name = `${selector()}._domainkey.${DOMAIN}`;
    for (const [backend, left] of [
      ['kms-sign', 'live'],
      ['file', 'gone'],
    ] as const) {
      const entry = lab.entry(DOMAIN);
      const keys = entry.keys.map((key) =>
        key.selector === selector()
          ? { ...key, backend, state: 'verified' as const, intent: undefined }
          : key,
      );
      const id = entry.keys.at(-1)?.material?.id ?? '';
      lab.put({ ...entry, keys });
      const run = await abort(false);
      assert.equal(run.result.kind, 'done');
      assert.match(run.notes.join(), /stays: the key was imported, and may be in use elsewhere/);
      assert.ok(lab.zone.has(name));
      assert.equal(lab.keys.get(id)?.state, left);
      lab.put(entry);
    }
  });

  it('destroys it at once where no key stands in for another', async () => {
    assert.equal((await abort(false)).result.kind, 'done');
    assert.equal(lab.states(DOMAIN)[selector()], 'destroyed');
  });
});
