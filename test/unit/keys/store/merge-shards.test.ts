import assert from 'node:assert/strict';
import type { ShardLook } from '../../../../src/keys/keyring-store.ts';
import { KeysError } from '../../../../src/keys/keys-error.ts';
import type { Manifest } from '../../../../src/keys/manifest.ts';
import { type Merge, mergeShards, type Shards } from '../../../../src/keys/store/merge-shards.ts';

function shard(generation: number, ...domains: readonly string[]): Manifest {
  return {
    generation,
    domains: domains.map((domain) => ({ domain, subdomains: false, keys: [] })),
  };
}

function read(shards: Readonly<Record<string, Manifest>>): readonly ShardLook[] {
  return Object.entries(shards).map(([name, manifest]) => ({ kind: 'read', name, manifest }));
}

const broken = (name: string): ShardLook => ({
  kind: 'broken',
  name,
  error: new KeysError('manifest-invalid', `${name} is broken`),
});

/** `a: x y; b: z` */
function text({ shards }: Merge): string {
  return [...shards]
    .map(([name, { domains }]) => `${name}: ${domains.map(({ domain }) => domain).join(' ')}`)
    .join('; ');
}

const codes = ({ complaints }: Merge) => complaints.map(({ code }) => code);

describe('merging shards', () => {
  const a = shard(1, 'x', 'y');
  const b = shard(2, 'z');
  const before: Shards = new Map([
    ['a', a],
    ['b', b],
  ]);
  const seen = new Map([
    ['a', 1],
    ['b', 2],
  ]);
  const merge = (...looks: readonly ShardLook[]) => mergeShards(before, seen, looks);

  it('takes what changed, and confirms all that it read', () => {
    const merged = merge(...read({ a: shard(3, 'x'), b, c: shard(4, 'new') }));
    assert.equal(text(merged), 'a: x; b: z; c: new');
    assert.deepEqual([...merged.confirmed], ['a', 'b', 'c']);
    assert.equal(merged.snapshot.generation, 4);
    assert.deepEqual(codes(merged), []);
  });

  it('keeps a broken shard as it was and takes the others', () => {
    const merged = merge(broken('a'), ...read({ b: shard(3) }));
    assert.equal(text(merged), 'a: x y; b: ');
    assert.deepEqual([...merged.confirmed], ['b']);
    assert.deepEqual(codes(merged), ['manifest-invalid']);
  });

  it('keeps a shard that went back in time, and one that is gone', () => {
    const old = merge(...read({ a: shard(3, 'x'), b: shard(1, 'revived') }));
    assert.equal(text(old), 'a: x; b: z');
    assert.deepEqual(codes(old), ['keyring-outdated']);
    const gone = merge(...read({ a: shard(3, 'x', 'y') }));
    assert.equal(text(gone), 'a: x y; b: z');
    assert.deepEqual(codes(gone), ['keyring-shrunk']);
    assert.deepEqual([...gone.confirmed], ['a']);
  });

  it('remembers the generation of a shard that was away', () => {
    const away = mergeShards(new Map([['a', a]]), seen, read({ a, b: shard(1, 'z') }));
    assert.deepEqual(codes(away), ['keyring-outdated']);
    assert.equal(text(away), 'a: x y');
  });

  it('lets domains move, together with the shard that they left', () => {
    assert.deepEqual(codes(merge(...read({ a: shard(3, 'x', 'y', 'z') }))), []);
    const moved = merge(...read({ a: shard(3, 'x'), b: shard(3, 'z', 'y') }));
    assert.equal(text(moved), 'a: x; b: z y');
    assert.deepEqual(codes(moved), []);
  });

  it('takes a domain from where it stands now, though its old shard is broken', () => {
    const merged = merge(broken('a'), ...read({ b: shard(3, 'z', 'y') }));
    assert.equal(text(merged), 'a: x; b: z y');
    assert.deepEqual([...merged.confirmed], ['b']);
  });

  it('does not take the newer of two shards with the same domain', () => {
    for (const looks of [
      read({ a, b, c: shard(9, 'z', 'n') }),
      read({ 0: shard(9, 'z', 'n'), a, b }),
    ]) {
      const merged = merge(...looks);
      assert.equal(text(merged), 'a: x y; b: z');
      assert.deepEqual(codes(merged), ['manifest-invalid']);
    }
    const changed = merge(...read({ a: shard(3, 'x', 'z'), b }));
    assert.equal(text(changed), 'a: x y; b: z');
  });

  it('never ends with no domain at all', () => {
    for (const looks of [[], read({ a: shard(3), b: shard(3) }), read({ c: shard(5) })]) {
      const merged = merge(...looks);
      assert.deepEqual([...merged.snapshot.domains.keys()].sort(), ['x', 'y', 'z']);
      assert.ok(codes(merged).includes('keyring-shrunk'));
    }
  });
});
