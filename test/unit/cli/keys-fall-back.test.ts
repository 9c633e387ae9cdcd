import assert from 'node:assert/strict';
import { DAY_MS } from '../../../src/keys/lifecycle/policy.ts';
import { habits, runKeys } from '../../support/lifecycle-cli.ts';
import { addFallBack } from '../../support/lifecycle-fall-back.ts';
import { LifecycleLab } from '../../support/lifecycle-lab.ts';
import { build } from '../config/build.ts';

const DOMAIN = 'example.com';

describe('keys commands for a domain with a fall-back key', () => {
  const kms = { ...build('').config.kms, fallback: true };
  let lab: LifecycleLab;

  /** An active key in KMS, `r1`, and one that stands in for it, `r2`. */
  beforeEach(async () => {
    lab = new LifecycleLab();
    await keys('rotate', DOMAIN, '--backend', 'kms-sign', '--algorithm', 'rsa2048');
    await addFallBack(lab);
    assert.deepEqual(states(), ['r1 kms-sign active', 'r2 kms-envelope verified']);
    lab.clock.advance(2 * DAY_MS);
  });

  const keys = async (...args: string[]) => await runKeys(lab, { ...habits }, args, kms);
  const states = () =>
    lab
      .entry()
      .keys.map(({ selector, backend, state }) => `${selector.slice(-2)} ${backend} ${state}`);

  it('rotate by hand, step by step, where the active key is', async () => {
    assert.equal((await keys('create', DOMAIN, '--algorithm', 'rsa2048')).code, 0);
    await keys('publish', DOMAIN);
    await keys('verify', DOMAIN);
    lab.clock.advance(DAY_MS);
    const activated = await keys('activate', DOMAIN);
    assert.equal(activated.code, 0, activated.err);
    assert.equal(states().at(-1), 'r3 kms-sign active');
  });

  it('end it with the key for which it stands in: relays have it in their memory', async () => {
    const planned = await keys('emergency', DOMAIN, '--reason', 'x', '--dry-run');
    assert.match(planned.out, /r1: would be done.*\n.*r2: would be done/);
    const done = await keys('emergency', DOMAIN, '--reason', 'host mail3 was broken into');
    assert.equal(done.code, 0, done.err);
    assert.deepEqual(states(), ['r1 kms-sign revoked', 'r2 kms-envelope revoked']);
    assert.match(done.out, /answered 451 until a new key is active/);
  });

  it('let it sign in an emergency, though a successor is under way that is not verified', async () => {
    lab.settleMs = 3_600_000;
    await keys('rotate', DOMAIN, '--step');
    const [main] = lab.entry().keys;
    await keys('emergency', DOMAIN, '--reason', 'x', '--selector', main?.selector ?? '');
    assert.deepEqual(states(), [
      'r1 kms-sign revoked',
      'r2 kms-envelope active',
      'r3 kms-sign published',
      'r4 kms-envelope published',
    ]);
  });

  it('make new keys where the last active one was, when none is active any more', async () => {
    const names = lab.entry().keys.flatMap(({ selector }) => ['--selector', selector]);
    await keys('emergency', DOMAIN, '--reason', 'x', ...names);
    await keys('rotate', DOMAIN);
    assert.deepEqual(states().slice(2), ['r3 kms-sign active']);
  });
});
