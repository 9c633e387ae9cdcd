import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { JournalEntry } from '../../../../src/keys/store/journal.ts';
import { filePlace, type TestPlace } from '../../../support/keyring-stores.ts';

const WORKER = fileURLToPath(new URL('../../../support/keyring-worker.ts', import.meta.url));

describe('twenty processes at one keyring', function () {
  this.timeout(120_000);
  let place: TestPlace;
  before(async () => {
    place = await filePlace();
  });
  after(async () => await place.end());

  it('do the work of each domain once', async () => {
    const domains = ['a.example', 'b.example'];
    const children = Array.from({ length: 20 }, (_, n) =>
      spawn(process.execPath, [WORKER, place.place.dir, domains[n % 2]!], {
        stdio: ['ignore', 'ignore', 'inherit'],
      }),
    );
    const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]));
    assert.deepEqual(codes, Array(20).fill(0));
    const { store, journal } = place.open();
    const snapshot = await store.read();
    const entries: JournalEntry[] = [];
    for await (const entry of journal.read({})) entries.push(entry);
    assert.deepEqual(entries.map(({ domain }) => domain).sort(), domains);
    for (const domain of domains) {
      const entry = snapshot.domains.get(domain);
      assert.equal(entry?.keys.length, 1);
      assert.equal(entry?.lease?.fence, 10, 'each of the ten had the lease once');
    }
  });
});
