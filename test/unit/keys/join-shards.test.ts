import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  type JoinedShards,
  joinChanged,
  joinShards,
  type KeyringSnapshot,
} from '../../../src/keys/keyring-store.ts';
import type { Manifest } from '../../../src/keys/manifest.ts';

/** Shards by number; a shard that a step leaves out stays the very same object. */
type Step = readonly (readonly [shard: number, domains: readonly number[] | undefined])[];

const contentOf = ({ generation, generations, domains, files }: KeyringSnapshot) => ({
  generation,
  generations: [...generations].sort(),
  domains: [...domains].sort(([one], [other]) => (one < other ? -1 : 1)),
  files: [...files].sort(),
});

describe('shards taken together', () => {
  it('step by step come to the same as all at once, or are refused alike', () => {
    const domains = fc.option(fc.uniqueArray(fc.nat(9), { maxLength: 4 }), { nil: undefined });
    const steps = fc.array(fc.array(fc.tuple(fc.nat(4), domains), { maxLength: 3 }), {
      minLength: 1,
      maxLength: 12,
    });
    let refused = 0;
    let taken = 0;
    fc.assert(
      fc.property(steps, (all: readonly Step[]) => {
        let joined: JoinedShards | undefined;
        let shards = new Map<string, Manifest>();
        let generation = 1;
        for (const step of all) {
          shards = new Map(shards);
          for (const [number, content] of step) {
            const name = `shard-${number}`;
            generation += 1;
            if (content === undefined) shards.delete(name);
            else {
              const entries = content.map((domain) => ({
                domain: `d${domain}.example`,
                subdomains: generation % 2 === 0,
                keys: [],
              }));
              shards.set(name, { generation, domains: entries });
            }
          }
          let expected: KeyringSnapshot;
          try {
            expected = joinShards(shards);
          } catch {
            refused += 1;
            assert.throws(() => joinChanged(joined, shards), { code: 'manifest-invalid' });
            continue;
          }
          taken += 1;
          joined = joinChanged(joined, shards);
          assert.deepEqual(contentOf(joined.snapshot), contentOf(expected));
        }
      }),
      { numRuns: 300 },
    );
    assert.ok(refused > 100 && taken > 100);
  });

  it('leave what was given out before as it was', () => {
    const entry = (domain: string) => ({ domain, subdomains: false, keys: [] });
    const one = joinChanged(undefined, new Map([['a', { generation: 1, domains: [entry('a')] }]]));
    const next = new Map([['a', { generation: 2, domains: [entry('b')] }]]);
    const two = joinChanged(one, next);
    assert.deepEqual([...one.snapshot.domains.keys()], ['a']);
    assert.deepEqual([...two.snapshot.domains.keys()], ['b']);
    assert.equal(joinChanged(two, new Map(next)).snapshot, two.snapshot);
  });
});
