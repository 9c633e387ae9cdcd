import assert from 'node:assert/strict';
import { advance } from '../../../../src/keys/lifecycle/advance.ts';
import { destroyStep } from '../../../../src/keys/lifecycle/destroy-step.ts';
import { emergency } from '../../../../src/keys/lifecycle/emergency.ts';
import { DAY_MS, DEFAULT_POLICY } from '../../../../src/keys/lifecycle/policy.ts';
import { revokeStep } from '../../../../src/keys/lifecycle/revoke-step.ts';
import {
  abortKeys,
  cancelDestruction,
  isAbortable,
  retireKeys,
  rollback,
  rollbackChoice,
} from '../../../../src/keys/lifecycle/take-back.ts';
import type { ManifestKey } from '../../../../src/keys/manifest.ts';
import { addFallBack } from '../../../support/lifecycle-fall-back.ts';
import { Crash, LifecycleLab } from '../../../support/lifecycle-lab.ts';

/**
 * Each command is killed before and after each of its effects, run again as an operator or a
 * scheduled job would, and must end where it ends undisturbed: states, records and private keys.
 */

interface Row {
  readonly name: string;
  readonly prepare: (lab: LifecycleLab) => Promise<void>;
  readonly run: (lab: LifecycleLab) => Promise<void>;
}

const STANDBY = { ...DEFAULT_POLICY, standby: true };
const STEP = { mode: 'step', timeoutMs: 0, pollMs: 1 } as const;

async function rotate(lab: LifecycleLab): Promise<void> {
  lab.clock.advance(1);
  await advance(lab.work(), lab.entry(), { ...STEP, mode: 'to-active', timeoutMs: 1000 });
}

async function due(lab: LifecycleLab, policy = DEFAULT_POLICY): Promise<void> {
  if (lab.died) return; // the command before it was killed while it ended
  const work = lab.work({ wish: { kind: 'when-old' }, reason: 'test' }, policy);
  await advance(work, lab.entry(), STEP);
}

const makeStandby = async (lab: LifecycleLab) => await due(lab, STANDBY);

async function rotateTwice(lab: LifecycleLab): Promise<void> {
  await rotate(lab);
  lab.clock.advance(2 * DAY_MS);
  await rotate(lab);
}

function selectorsOf(lab: LifecycleLab, isRight: (key: ManifestKey) => boolean): string[] {
  return lab
    .entry()
    .keys.filter(isRight)
    .map((key) => key.selector);
}

async function end(lab: LifecycleLab): Promise<void> {
  const selectors = selectorsOf(lab, (key) => key.state === 'revoked');
  if (selectors.length > 0) await destroyStep(lab.work(), { entry: lab.entry(), selectors });
}

const ROWS: readonly Row[] = [
  { name: 'a first rotation', prepare: async () => {}, run: rotate },
  {
    name: 'a second rotation',
    prepare: async (lab) => {
      await rotate(lab);
      lab.clock.advance(2 * DAY_MS);
    },
    run: rotate,
  },
  {
    name: 'a rotation of keys for which others stand in',
    prepare: async (lab) => {
      await rotate(lab);
      const entry = lab.entry();
      const keys = entry.keys.map((key) => ({ ...key, backend: 'kms-sign' as const }));
      lab.put({ ...entry, keys });
      await addFallBack(lab);
      lab.clock.advance(2 * DAY_MS);
    },
    run: async (lab) => {
      const work = { ...lab.work(), fallBacks: true };
      const aQuarter = { mode: 'to-active', timeoutMs: 900_000, pollMs: 60_000 } as const;
      await advance(work, lab.entry(), aQuarter);
    },
  },
  {
    name: 'the scheduled job, with a standby to make',
    prepare: rotate,
    run: makeStandby,
  },
  {
    name: 'revoke',
    prepare: async (lab) => {
      await rotateTwice(lab);
      lab.clock.advance(8 * DAY_MS);
    },
    run: async (lab) => {
      const selectors = selectorsOf(lab, (key) => key.state === 'retiring');
      if (selectors.length > 0) await revokeStep(lab.work(), { entry: lab.entry(), selectors });
      await due(lab);
    },
  },
  {
    name: 'destroy',
    prepare: async (lab) => {
      await rotateTwice(lab);
      lab.clock.advance(8 * DAY_MS);
      await due(lab);
      lab.clock.advance(30 * DAY_MS);
    },
    run: end,
  },
  {
    name: 'abort',
    prepare: async (lab) => {
      await rotate(lab);
      await makeStandby(lab);
    },
    run: async (lab) => {
      const selectors = selectorsOf(lab, isAbortable);
      if (selectors.length > 0) await abortKeys(lab.work(), { entry: lab.entry(), selectors });
    },
  },
  {
    name: 'rollback',
    prepare: rotateTwice,
    run: async (lab) => {
      const selectors = rollbackChoice(lab.entry()).map((key) => key.selector);
      if (selectors.length > 0) await rollback(lab.work(), { entry: lab.entry(), selectors });
    },
  },
  {
    name: 'retire',
    prepare: rotate,
    run: async (lab) => {
      const selectors = selectorsOf(
        lab,
        (key) => key.state === 'active' && key.algorithm === 'ed25519',
      );
      if (selectors.length > 0) await retireKeys(lab.work(), { entry: lab.entry(), selectors });
    },
  },
  {
    name: 'cancel-destroy',
    prepare: async (lab) => {
      lab.destroyScheduled = true;
      await rotate(lab);
      await emergency(lab.work({ reason: 'x' }), lab.entry(), []);
      lab.clock.advance(30 * DAY_MS);
      await end(lab);
    },
    run: async (lab) => {
      const selectors = selectorsOf(lab, (key) => key.state === 'destroyed');
      if (selectors.length > 0) {
        await cancelDestruction(lab.work(), { entry: lab.entry(), selectors });
      }
      await due(lab);
    },
  },
  {
    name: 'emergency with a standby',
    prepare: async (lab) => {
      await rotate(lab);
      await makeStandby(lab);
    },
    run: async (lab) => {
      try {
        await emergency(lab.work({ reason: 'stolen' }), lab.entry(), []);
      } catch (error) {
        // Killed after its end: it says so, and touches nothing.
        if (!(error instanceof Error && 'code' in error)) throw error;
        assert.equal(error.code, 'key-emergency-done');
      }
      await due(lab); // sees the withdrawal, if that was left
    },
  },
];

describe('killed anywhere and run again', () => {
  for (const row of ROWS) {
    it(`${row.name} ends in the same state`, async () => {
      const undisturbed = new LifecycleLab();
      await row.prepare(undisturbed);
      undisturbed.effects = 0;
      await row.run(undisturbed);
      const { effects } = undisturbed;
      assert.ok(effects >= 4, `only ${effects} effects`);
      const expected = picture(undisturbed);
      for (let at = 1; at <= effects; at += 1) {
        for (const when of ['before', 'after'] as const) {
          const lab = new LifecycleLab();
          await row.prepare(lab);
          lab.effects = 0;
          lab.crashAt = { at, when };
          await row.run(lab).catch((error) => {
            if (!(error instanceof Crash)) throw error;
          });
          assert.ok(lab.died, `${when} ${at}`);
          lab.crashAt = undefined;
          lab.died = false;
          lab.clock.advance(61_000); // its lease runs out
          await row.run(lab);
          assert.deepEqual(picture(lab), expected, `killed ${when} effect ${at}`);
          checkJournal(lab);
        }
      }
    });
  }
});

/** No record and no private key that the journal does not know. */
function checkJournal({ journal, zone, keys }: LifecycleLab): void {
  for (const [name, { value }] of zone) {
    const isKnown = journal.some(({ record }) => record?.name === name && record.value === value);
    assert.ok(isKnown, `the record ${name} is not in the journal`);
  }
  for (const id of keys.keys()) {
    const intent = id.split('#')[1];
    assert.ok(
      journal.some((entry) => entry.intent === intent),
      `the key ${id} is not in the journal`,
    );
  }
}

/** All that outlasts a process, without times and random names. */
function picture(lab: LifecycleLab) {
  const { keys, rotatingSince } = lab.entry();
  return {
    rotatingSince,
    states: Object.entries(lab.states()).sort(),
    withdrawn: keys
      .filter((key) => key.revokedAt !== undefined)
      .map((key) => key.selector)
      .sort(),
    records: [...lab.zone].map(([name, { value }]) => `${name} ${value.endsWith('p=')}`).sort(),
    privateKeys: [...lab.keys].map(([id, { state }]) => `${id.split('#')[0]} ${state}`).sort(),
  };
}
