import assert from 'node:assert/strict';
import { recordName } from '../../../../src/keys/key-name.ts';
import { destroyStep } from '../../../../src/keys/lifecycle/destroy-step.ts';
import { emergency } from '../../../../src/keys/lifecycle/emergency.ts';
import { DAY_MS } from '../../../../src/keys/lifecycle/policy.ts';
import { sharedKeys } from '../../../../src/keys/lifecycle/shared-keys.ts';
import type { StepWork } from '../../../../src/keys/lifecycle/step-work.ts';
import type { ManifestDomain, ManifestKey } from '../../../../src/keys/manifest.ts';
import { habits, runKeys } from '../../../support/lifecycle-cli.ts';
import { LifecycleLab } from '../../../support/lifecycle-lab.ts';

describe('destroying keys', () => {
  let lab: LifecycleLab;

  beforeEach(async () => {
    lab = new LifecycleLab();
    const made = await runKeys(lab, { ...habits }, ['rotate', 'a.example']);
    assert.equal(made.code, 0, made.err);
  });

  const keyStates = () => [...lab.keys.values()].map(({ state }) => state);
  /** Another domain signs with the very same private keys. */
  const share = (domain: string, change: Partial<ManifestKey> = {}) => {
    const keys = lab.entry('a.example').keys.map((key) => ({ ...key, ...change }));
    lab.put({ ...lab.entry('a.example'), domain, keys });
  };
  const revoke = async (domain: string) => {
    await emergency(lab.work({ reason: 'x' }), lab.entry(domain), []);
  };
  const destroy = async (domain: string, work: StepWork = lab.work({ reason: 'old' })) => {
    const entry = lab.entry(domain);
    const selectors = entry.keys.map(({ selector }) => selector);
    return await destroyStep(work, { entry, selectors });
  };

  it('leaves the private half of a shared key until the last domain is done with it', async () => {
    await revoke('a.example');
    share('b.example');
    lab.clock.advance(31 * DAY_MS);
    const domains = new Map<string, ManifestDomain>(
      ['a.example', 'b.example'].map((domain) => [domain, lab.entry(domain)]),
    );
    const work = { ...lab.work({ reason: 'old' }), isShared: sharedKeys({ domains }) };
    const first = await destroy('a.example', work);
    assert.match(first.notes.join(), /another domain uses it too/);
    assert.deepEqual(keyStates(), ['disabled', 'disabled']);
    await destroy('b.example', work);
    assert.deepEqual(keyStates(), ['gone', 'gone']);
  });

  it('sees a domain that came after the command began', async () => {
    await revoke('a.example');
    lab.clock.advance(31 * DAY_MS);
    const work = lab.work({ reason: 'old' });
    share('late.example', { state: 'active' });
    const run = await destroy('a.example', work);
    assert.equal(run.result.kind, 'done');
    assert.match(run.notes.join(), /another domain uses it too/);
    assert.deepEqual(lab.states('a.example'), { wx202611r1: 'destroyed', wx202611e1: 'destroyed' });
    assert.deepEqual(keyStates(), ['disabled', 'disabled']);
  });

  it('touches no private key when the lease was lost while the record was written', async () => {
    await revoke('a.example');
    lab.clock.advance(31 * DAY_MS);
    const work = lab.work({ reason: 'old' });
    const publisher = work.access.publisherFor('a.example');
    const asleep = {
      ...publisher,
      apply: async (...args: Parameters<typeof publisher.apply>) => {
        const result = await publisher.apply(...args);
        const lease = {
          holder: 'process 2.2 on elsewhere',
          fence: 1000,
          until: '2027-01-01T00:00:00Z',
        };
        lab.put({ ...lab.entry('a.example'), lease });
        return result;
      },
    };
    const access = { ...work.access, publisherFor: () => asleep };
    await assert.rejects(destroy('a.example', { ...work, access }), { code: 'keyring-lease-lost' });
    assert.equal(lab.zone.has(recordName('wx202611r1', 'a.example')), false);
    assert.deepEqual(keyStates(), ['disabled', 'disabled']);
  });
});
