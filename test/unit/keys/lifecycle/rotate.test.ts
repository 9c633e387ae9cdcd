import assert from 'node:assert/strict';
import { type Advance, advance } from '../../../../src/keys/lifecycle/advance.ts';
import { DAY_MS } from '../../../../src/keys/lifecycle/policy.ts';
import type { StepWishes, StepWork } from '../../../../src/keys/lifecycle/step-work.ts';
import { rollbackChoice } from '../../../../src/keys/lifecycle/take-back.ts';
import { addFallBack } from '../../../support/lifecycle-fall-back.ts';
import { LifecycleLab } from '../../../support/lifecycle-lab.ts';

describe('rotation of a domain', () => {
  let lab: LifecycleLab;

  beforeEach(() => {
    lab = new LifecycleLab();
  });

  const run = async (work: StepWork, mode: 'step' | 'to-active'): Promise<Advance> =>
    await advance(work, lab.entry(), { mode, timeoutMs: 3_600_000, pollMs: 15_000 });
  const rotate = async (again = false) =>
    await run(
      lab.work({ wish: { kind: 'asked', sinceMs: lab.clock.wallMs(), again } }),
      'to-active',
    );
  const due = async () => await run(lab.work({ wish: { kind: 'when-old' } }), 'step');

  it('renews what stands in for a key together with that key', async () => {
    const work = (wishes: Partial<StepWishes> = {}) => ({
      ...lab.work({ wish: { kind: 'when-old' }, algorithms: ['rsa2048'], ...wishes }),
      fallBacks: true,
    });
    const asked = { kind: 'asked', sinceMs: lab.clock.wallMs(), again: false } as const;
    await run(work({ wish: asked, backend: 'kms-sign' }), 'to-active');
    assert.equal(await addFallBack(lab), 'wx202611r2');
    const keys = () =>
      lab
        .entry()
        .keys.map(({ selector, backend, state }) => `${selector.slice(2)} ${backend} ${state}`);
    assert.deepEqual(keys(), ['202611r1 kms-sign active', '202611r2 kms-envelope verified']);

    lab.clock.advance(180 * DAY_MS);
    await run(work(), 'step');
    const made = ['202705r1 kms-sign verified', '202705r2 kms-envelope verified'];
    assert.deepEqual(keys().slice(2), made, 'permissions are waited for');
    lab.clock.advance(DAY_MS);
    const rotated = await run(work(), 'step');
    const after = [
      '202611r1 kms-sign retiring',
      '202611r2 kms-envelope retiring',
      '202705r1 kms-sign active',
      '202705r2 kms-envelope verified',
    ];
    assert.deepEqual(keys(), after);
    const retired = lab.journal.filter(({ event }) => event === 'retiring');
    assert.deepEqual(
      retired.map(({ selector }) => selector),
      ['wx202611r1', 'wx202611r2'],
    );
    assert.deepEqual(rollbackChoice(lab.entry()), [lab.entry().keys[0]]);
    assert.deepEqual(
      rotated.rest.map(({ step, selectors }) => `${step} ${selectors}`),
      ['create ', 'revoke wx202611r1', 'revoke wx202611r2'],
    );
    await run(work(), 'step');
    assert.deepEqual(keys(), after, 'one is enough');
  });

  it('goes from nothing to active keys, and from there to the end by due steps', async () => {
    const first = await rotate();
    assert.deepEqual(lab.states(), { wx202611r1: 'active', wx202611e1: 'active' });
    assert.match(first.fulfilled ?? '', /active/);
    lab.clock.advance(180 * DAY_MS);
    await due();
    assert.deepEqual(lab.states(), {
      wx202611r1: 'retiring',
      wx202611e1: 'retiring',
      wx202705r1: 'active',
      wx202705e1: 'active',
    });
    lab.clock.advance(8 * DAY_MS - 1);
    await due();
    assert.equal(lab.states().wx202611r1, 'retiring');
    lab.clock.advance(1);
    await due();
    assert.equal(lab.states().wx202611r1, 'revoked');
    assert.match(lab.zone.get('wx202611r1._domainkey.example.com')?.value ?? '', /p=$/);
    lab.clock.advance(30 * DAY_MS);
    await due();
    assert.equal(lab.states().wx202611e1, 'destroyed');
    assert.equal(lab.zone.has('wx202611e1._domainkey.example.com'), false);
    assert.equal(lab.zone.size, 2);
    assert.deepEqual([...lab.keys.values()].map(({ state }) => state).sort(), [
      'gone',
      'gone',
      'live',
      'live',
    ]);
  });
});
