import assert from 'node:assert/strict';
import fc from 'fast-check';
import { GatheredPieces } from '../../../src/spool/gathered-pieces.ts';
import { SLAB_BYTES, SlabPool } from '../../../src/spool/slab-pool.ts';

function fresh(length: number, octet: number): Buffer {
  return Buffer.allocUnsafeSlow(length).fill(octet);
}

describe('GatheredPieces', () => {
  it('gives back the octets in order, for pieces of any size', () => {
    const sizes = fc.array(
      fc.oneof(fc.nat({ max: 50 }), fc.constantFrom(1000, SLAB_BYTES, 3 * SLAB_BYTES + 7)),
      { maxLength: 12 },
    );
    const pool = new SlabPool();
    fc.assert(
      fc.property(sizes, fc.boolean(), (list, sole) => {
        const gathered = new GatheredPieces(pool);
        const expected = Buffer.concat(list.map((size, index) => Buffer.alloc(size, index + 1)));
        for (const [index, size] of list.entries()) gathered.add(fresh(size, index + 1), sole);
        assert.equal(gathered.bytes, expected.length);
        assert.deepEqual(Buffer.concat(gathered.buffers), expected);
        gathered.giveBack();
        assert.equal(gathered.bytes, 0);
        assert.deepEqual(gathered.buffers, []);
      }),
      { numRuns: 100 },
    );
  });

  it('keeps the pieces of a small message as they are', () => {
    const piece = fresh(1000, 1);
    const gathered = new GatheredPieces(new SlabPool());
    gathered.add(piece, true);
    assert.equal(gathered.buffers[0], piece);
    assert.equal(piece.length, 1000);
  });

  it('frees the memory of a piece that was copied, if nobody else looks at it', () => {
    const gathered = new GatheredPieces(new SlabPool());
    const sole = fresh(40_000, 1);
    const shared = fresh(40_000, 2);
    gathered.add(sole, true);
    gathered.add(shared, false);
    assert.equal(sole.length, 0);
    assert.equal(shared.length, 40_000);
    assert.equal(gathered.bytes, 80_000);
  });

  it('leaves a piece of the shared pool of small buffers alone', () => {
    const gathered = new GatheredPieces(new SlabPool());
    gathered.add(fresh(40_000, 1), true);
    const pooled = Buffer.from('from the pool');
    gathered.add(pooled, true);
    assert.equal(pooled.toString(), 'from the pool');
  });

  it('uses slabs again that were given back, and none that somebody may look at', () => {
    const pool = new SlabPool();
    const first = new GatheredPieces(pool);
    first.add(fresh(SLAB_BYTES, 1), true);
    const [slab] = first.buffers;
    first.forget();
    assert.equal(pool.freeCount, 0);
    const second = new GatheredPieces(pool);
    second.add(fresh(SLAB_BYTES, 2), true);
    assert.deepEqual(slab, fresh(SLAB_BYTES, 1));
    const [again] = second.buffers;
    second.giveBack();
    assert.equal(pool.freeCount, 1);
    assert.equal(pool.take(), again);
  });

  it('keeps a bounded number of free slabs, and frees the rest at once', () => {
    const pool = new SlabPool();
    const slabs = Array.from({ length: 600 }, () => pool.take());
    for (const slab of slabs) pool.give(slab);
    assert.equal(pool.freeCount, 512);
    assert.equal(slabs.filter(({ length }) => length === 0).length, 88);
  });
});
