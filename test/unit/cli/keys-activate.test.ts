import assert from 'node:assert/strict';
import type { ManifestKey } from '../../../src/keys/manifest.ts';
import { TxtTable } from '../../support/keyring.ts';
import { runKeys } from '../../support/lifecycle-cli.ts';
import { LifecycleLab } from '../../support/lifecycle-lab.ts';

describe('keys activate', () => {
  let lab: LifecycleLab;
  let dns: TxtTable;

  beforeEach(async () => {
    lab = new LifecycleLab();
    dns = new TxtTable();
    const made = await keys('create', 'example.com');
    assert.equal(made.code ?? 0, 0, made.err);
  });

  const keys = async (...args: readonly string[]) => await runKeys(lab, undefined, args, dns);
  /** As if the keys had been made by another back end. */
  const published = (change: Partial<ManifestKey> = {}) => {
    const entry = lab.entry();
    lab.put({ ...entry, keys: entry.keys.map((key) => ({ ...key, ...change })) });
    dns.publish('example.com', ...lab.entry().keys);
  };
  const report = (usable: boolean) => ({
    relay: 'relay-2',
    at: new Date(lab.clock.wallMs()).toISOString(),
    goodUntil: new Date(lab.clock.wallMs() + 60_000).toISOString(),
    host: 'relay-2',
    version: '1',
    startedAt: new Date(lab.clock.wallMs()).toISOString(),
    keysMore: 0,
    generation: 1,
    keys: lab
      .entry()
      .keys.map(({ selector }) => ({ domain: 'example.com', selector, usable, reason: 'denied' })),
  });

  it('waits for a relay that cannot use a key, unless forced', async () => {
    published();
    lab.reports = [report(false)];
    const refused = await keys('activate', 'example.com');
    assert.equal(refused.code, 3);
    assert.match(
      refused.err,
      /a relay cannot use the new keys of example\.com: relay-2: .* denied/,
    );
    assert.deepEqual(new Set(Object.values(lab.states())), new Set(['created']));
    assert.equal((await keys('activate', 'example.com', '--force')).code ?? 0, 0);
    assert.deepEqual(new Set(Object.values(lab.states())), new Set(['active']));
  });

  it('gives permissions their time where no relay reports', async () => {
    published({ backend: 'kms-sign' });
    const refused = await keys('activate', 'example.com');
    assert.equal(refused.code, 3);
    assert.match(refused.err, /no relay reports .*\n.*2026-11-21T09:05:00/);
    lab.reports = [report(true)];
    lab.clock.advance(3000);
    const done = await keys('activate', 'example.com');
    assert.equal(done.code ?? 0, 0, done.err);
  });

  it('loses no key that was imported while it wrote', async () => {
    published();
    const access = lab.access.bind(lab);
    lab.access = (...args) => {
      const made = access(...args);
      const append = made.journal.append.bind(made.journal);
      const journal = {
        ...made.journal,
        append: async (entry: Parameters<typeof append>[0]) => {
          await append(entry);
          const now = lab.entry();
          const [first] = now.keys;
          if (first === undefined || now.keys.some(({ selector }) => selector === 'mail')) return;
          lab.put({
            ...now,
            keys: [...now.keys, { ...first, selector: 'mail', publicKey: 'other' }],
          });
        },
      };
      return { ...made, journal };
    };
    const refused = await keys('activate', 'example.com');
    assert.equal(refused.code, 3);
    assert.match(refused.err, /changed by somebody else meanwhile/);
    assert.equal(lab.states().mail, 'created');
  });
});
