import assert from 'node:assert/strict';
import fc from 'fast-check';
import { familyOf } from '../../../../src/keys/key-algorithm.ts';
import { KeysRefusal } from '../../../../src/keys/keys-error.ts';
import { advance } from '../../../../src/keys/lifecycle/advance.ts';
import { emergency } from '../../../../src/keys/lifecycle/emergency.ts';
import { activeKeys, freshKeys } from '../../../../src/keys/lifecycle/key-changes.ts';
import { DAY_MS, DEFAULT_POLICY } from '../../../../src/keys/lifecycle/policy.ts';
import type { StepWishes } from '../../../../src/keys/lifecycle/step-work.ts';
import {
  abortKeys,
  isAbortable,
  rollback,
  rollbackChoice,
} from '../../../../src/keys/lifecycle/take-back.ts';
import type { ManifestDomain, ManifestKey } from '../../../../src/keys/manifest.ts';
import { Crash, LifecycleLab } from '../../../support/lifecycle-lab.ts';

/**
 * Whatever operators, killed processes, DNS and the clock do: never two active keys of a family,
 * never a signature with a key that DNS does not show, no key withdrawn or destroyed before its
 * time, no private key that nobody knows; and every path ends.
 */

interface Scenario {
  readonly standby: boolean;
  readonly settleMs: number;
  readonly actions: readonly Action[];
}

type Action =
  | { readonly kind: 'rotate'; readonly again: boolean; readonly crash: number }
  | { readonly kind: 'due'; readonly crash: number }
  | { readonly kind: 'emergency' | 'rollback' | 'abort'; readonly crash: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'hide'; readonly hidden: boolean }
  | { readonly kind: 'publisher'; readonly fails: boolean };

const crash = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 }));
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('rotate' as const), again: fc.boolean(), crash }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('due' as const), crash }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('emergency' as const, 'rollback' as const, 'abort' as const),
      crash,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(1000, 3_600_000, DAY_MS, 8 * DAY_MS, 31 * DAY_MS, 181 * DAY_MS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hide' as const), hidden: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('publisher' as const), fails: fc.boolean() }),
  },
);
const scenario: fc.Arbitrary<Scenario> = fc.record({
  standby: fc.boolean(),
  settleMs: fc.constantFrom(0, 3_600_000),
  actions: fc.array(action, { maxLength: 25 }),
});

const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  created: ['published', 'revoked', 'destroyed'],
  published: ['verified', 'revoked', 'destroyed'],
  verified: ['published', 'active', 'revoked', 'destroyed'],
  active: ['retiring', 'revoked'],
  retiring: ['active', 'revoked'],
  revoked: ['destroyed'],
  destroyed: [],
};

describe('the life of keys', () => {
  it('keeps its promises on any path, and every path ends', async function () {
    this.timeout(300_000);
    await fc.assert(
      fc.asyncProperty(scenario, async (given) => {
        const world = new World(given);
        for (const step of given.actions) await world.take(step);
        await world.end();
      }),
      { numRuns: 300 },
    );
  });
});

class World {
  readonly #lab = new LifecycleLab();
  readonly #policy;
  #doing: Action['kind'] = 'due';
  #log: string[] = [];

  constructor({ standby, settleMs }: Scenario) {
    this.#policy = { ...DEFAULT_POLICY, standby };
    this.#lab.settleMs = settleMs;
    this.#lab.onWrite = (before, after) => this.#check(before, after);
    this.#lab.onDestroy = (id) => this.#checkDestroy(id);
  }

  async take(step: Action): Promise<void> {
    const lab = this.#lab;
    this.#doing = step.kind;
    this.#log.push(JSON.stringify(step));
    lab.clock.advance(1); // no two commands begin in the same millisecond
    if (step.kind === 'wait') return lab.clock.advance(step.ms);
    if (step.kind === 'publisher') {
      lab.publisherFails = step.fails;
      return;
    }
    if (step.kind === 'hide') {
      for (const name of step.hidden ? lab.zone.keys() : []) lab.hidden.add(name);
      if (!step.hidden) lab.hidden.clear();
      return;
    }
    lab.effects = 0;
    lab.crashAt =
      step.crash === 0
        ? undefined
        : { at: Math.ceil(step.crash / 2), when: step.crash % 2 === 0 ? 'after' : 'before' };
    try {
      await this.#run(step);
    } catch (error) {
      if (!(error instanceof Crash || error instanceof KeysRefusal)) throw error;
    } finally {
      lab.crashAt = undefined;
      if (lab.died) lab.clock.advance(61_000); // its lease runs out
      lab.died = false;
    }
  }

  async #run(step: Exclude<Action, { kind: 'wait' | 'hide' | 'publisher' }>): Promise<void> {
    const lab = this.#lab;
    const entry = lab.entry();
    const options = { mode: 'step', timeoutMs: 0, pollMs: 1 } as const;
    switch (step.kind) {
      case 'rotate': {
        const wish = { kind: 'asked', sinceMs: lab.clock.wallMs(), again: step.again } as const;
        await advance(this.#work({ wish }), entry, options);
        break;
      }
      case 'due':
        await advance(this.#work({ wish: { kind: 'when-old' } }), entry, options);
        break;
      case 'emergency':
        if (entry.keys.length > 0) await emergency(this.#work({ reason: 'test' }), entry, []);
        break;
      case 'rollback': {
        const selectors = rollbackChoice(entry).map((key) => key.selector);
        if (selectors.length > 0) await rollback(this.#work({ reason: 'x' }), { entry, selectors });
        break;
      }
      case 'abort': {
        const selectors = entry.keys.filter(isAbortable).map((key) => key.selector);
        if (selectors.length > 0) await abortKeys(this.#work(), { entry, selectors });
        break;
      }
    }
  }

  /** All is well again, and the scheduled job runs: nothing stays half done. */
  async end(): Promise<void> {
    const lab = this.#lab;
    lab.hidden.clear();
    lab.publisherFails = false;
    await this.take({ kind: 'emergency', crash: 0 });
    for (let round = 0; round < 4; round += 1) {
      await this.take({ kind: 'rotate', again: round === 0, crash: 0 });
      await this.take({ kind: 'wait', ms: 3_600_000 });
    }
    for (let round = 0; round < 4; round += 1) {
      await this.take({ kind: 'wait', ms: 31 * DAY_MS });
      for (let look = 0; look < 3; look += 1) {
        await this.take({ kind: 'due', crash: 0 });
        await this.take({ kind: 'wait', ms: 3_600_000 });
      }
    }
    const { keys } = lab.entry();
    const context = this.#context();
    const active = activeKeys(lab.entry());
    assert.deepEqual(active.map(familyOf).sort(), ['ed25519', 'rsa'], context);
    const fresh = this.#policy.standby ? 2 : 0;
    const left = keys.filter((key) => key.state !== 'destroyed' && key.state !== 'active');
    assert.equal(left.filter((key) => freshKeys(lab.entry()).includes(key)).length, fresh, context);
    assert.equal(left.length, fresh, context);
    const known = new Set(keys.map((key) => key.material?.id));
    const orphans = [...lab.keys].filter(([id, { state }]) => state !== 'gone' && !known.has(id));
    assert.deepEqual(orphans, [], context);
    assert.equal(lab.zone.size, 2 + fresh, context);
  }

  #work(wishes: Partial<StepWishes> = {}) {
    return this.#lab.work(wishes, this.#policy);
  }

  #context(): string {
    return `${this.#log.join('\n')}\n${JSON.stringify(this.#lab.states())}`;
  }

  #check(before: ManifestDomain | undefined, after: ManifestDomain): void {
    const context = this.#context();
    const families = activeKeys(after).map(familyOf);
    assert.equal(new Set(families).size, families.length, `two active keys; ${context}`);
    const old = new Map((before?.keys ?? []).map((key) => [key.selector, key]));
    for (const key of after.keys) {
      const was = old.get(key.selector);
      old.delete(key.selector);
      if (was === undefined) assert.equal(key.state, 'created', context);
      else if (was.state !== key.state) this.#checkChange(was, key, context);
    }
    assert.equal(old.size, 0, `a key vanished from the manifest; ${context}`);
  }

  #checkChange(was: ManifestKey, key: ManifestKey, context: string): void {
    const lab = this.#lab;
    const nowMs = lab.clock.wallMs();
    const what = `${key.selector} ${was.state} to ${key.state}; ${context}`;
    assert.ok(ALLOWED[was.state]?.includes(key.state), what);
    if (key.state === 'active') {
      const { domain } = lab.entry();
      const seen = lab.seen({ domain, selector: key.selector, record: { kind: 'key', key } });
      assert.equal(seen.verdict, 'seen', `signs unseen: ${what}`);
      if (was.state === 'verified' && was.settledAt !== undefined) {
        assert.ok(Date.parse(was.settledAt) <= nowMs, `signs before caches ran out: ${what}`);
      }
    }
    if (key.state === 'revoked' && !['emergency', 'abort'].includes(this.#doing)) {
      const dueMs = Date.parse(was.retiringSince ?? '') + 8 * DAY_MS;
      assert.ok(nowMs >= dueMs, `withdrawn too early: ${what}`);
    }
    if (key.state === 'destroyed' && this.#doing !== 'abort') {
      const dueMs = Date.parse(was.revokedAt ?? '') + 30 * DAY_MS;
      assert.ok(nowMs >= dueMs, `destroyed too early: ${what}`);
    }
  }

  #checkDestroy(id: string): void {
    const key = this.#lab.entry().keys.find((candidate) => candidate.material?.id === id);
    assert.ok(key !== undefined, `a key nobody knows was destroyed; ${this.#context()}`);
    assert.equal(key.state, 'revoked', this.#context());
  }
}
