import assert from 'node:assert/strict';
import type { KeyringStore } from '../../../../src/keys/keyring-store.ts';
import type { ManifestDomain, ManifestKey } from '../../../../src/keys/manifest.ts';
import type { JournalEntry, JournalFilter } from '../../../../src/keys/store/journal.ts';
import { changeUnderLease, takeLease } from '../../../../src/keys/store/lease.ts';
import type { RelayReport } from '../../../../src/keys/store/relay-reports.ts';
import type { OpenedStore } from '../../../../src/keys/store/stores.ts';
import { KINDS, type TestPlace } from '../../../support/keyring-stores.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { waitFor } from '../../../support/wait-for.ts';

const KEY: ManifestKey = {
  selector: 'wx202611e1',
  algorithm: 'ed25519',
  backend: 'file',
  state: 'created',
  publicKey: '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
  ttlS: 3600,
  createdAt: '2026-11-21T09:00:00.000Z',
  activatedAt: undefined,
  retiringSince: undefined,
};

function domainOf(domain: string, keys: readonly ManifestKey[] = []): ManifestDomain {
  return { domain, subdomains: false, keys };
}

async function put(store: KeyringStore, domain: ManifestDomain): Promise<void> {
  await store.change(async () => ({ domain, result: undefined }));
}

/** Adds a key with a selector that none of the domain has: what it writes depends on what it read. */
async function addKey(store: KeyringStore, domain: string): Promise<string> {
  return await store.change(async (current) => {
    const entry = current.domains.get(domain) ?? domainOf(domain);
    const selector = `s${entry.keys.length + 1}`;
    return { domain: { ...entry, keys: [...entry.keys, { ...KEY, selector }] }, result: selector };
  });
}

for (const [kind, makePlace] of KINDS) {
  describe(`keyring store: ${kind}`, () => {
    let place: TestPlace;
    let one: OpenedStore;
    let other: OpenedStore;

    beforeEach(async () => {
      place = await makePlace();
      one = place.open();
      other = place.open();
    });
    afterEach(async () => await place.end());

    it('says that there is no keyring before the first change', async () => {
      await assert.rejects(one.store.read(), { code: 'keyring-missing' });
      await assert.rejects(one.store.look(), { code: 'keyring-missing' });
    });

    it('gives back what was written, to every process', async () => {
      const key = { ...KEY, material: { sealed: 'AAAA' }, intent: 'i-1', publisher: 'print' };
      await put(one.store, { ...domainOf('a.example', [key]), subdomains: true });
      const { domains, generation, files, generations } = await other.store.read();
      const entry = domains.get('a.example');
      assert.equal(entry?.subdomains, true);
      assert.deepEqual(JSON.parse(JSON.stringify(entry?.keys)), [JSON.parse(JSON.stringify(key))]);
      assert.equal(generations.get(files.get('a.example') ?? ''), generation);
    });

    it('gives each change a generation of its own, and a reader never an older state', async () => {
      const seen: number[] = [];
      for (let n = 0; n < 6; n += 1) {
        await put((n % 2 === 0 ? one : other).store, domainOf(`d${n}.example`));
        seen.push((await one.store.read()).generation);
      }
      assert.deepEqual(seen, [1, 2, 3, 4, 5, 6]);
    });

    it('loses no change of ten writers of one domain', async () => {
      const writers = Array.from({ length: 10 }, () => place.open().store);
      const selectors = await Promise.all(writers.map((store) => addKey(store, 'a.example')));
      assert.equal(new Set(selectors).size, 10);
      const entry = (await one.store.read()).domains.get('a.example');
      assert.deepEqual(entry?.keys.map(({ selector }) => selector).sort(), selectors.sort());
      assert.equal((await one.store.read()).generation, 10);
    });

    it('writes nothing when the edit throws or changes nothing', async () => {
      await put(one.store, domainOf('a.example'));
      await assert.rejects(
        one.store.change(() => Promise.reject(new Error('no'))),
        { message: 'no' },
      );
      const result = await one.store.change(async () => ({ domain: undefined, result: 5 }));
      assert.equal(result, 5);
      assert.equal((await other.store.read()).generation, 1);
    });

    it('spreads domains over shards, and a look keeps what did not change', async () => {
      const count = kind === 'file' ? 103 : 7;
      for (let n = 0; n < count; n += 1) await put(one.store, domainOf(`d${n}.example`));
      const { files } = await one.store.read();
      assert.equal(new Set(files.values()).size, 3);
      const before = new Map((await other.store.look()).map((look) => [look.name, look]));
      await put(one.store, domainOf('d0.example', [KEY]));
      const changed = (await other.store.look()).filter((look) => {
        const old = before.get(look.name);
        return !(old?.kind === 'read' && look.kind === 'read' && old.manifest === look.manifest);
      });
      assert.deepEqual(
        changed.map(({ name }) => name),
        [files.get('d0.example')],
      );
      assert.equal((await other.store.read()).domains.size, count);
    }).timeout(60_000);

    describe('lease', () => {
      const options = { leaseMs: 60_000, waitMs: 0 };
      let clock: ManualClock;

      beforeEach(() => {
        clock = new ManualClock(Date.parse('2026-11-21T09:00:00Z'));
      });

      it('is held by one; another is told by whom', async () => {
        const lease = await takeLease(one.store, clock, 'a.example', 'me', options);
        await assert.rejects(takeLease(other.store, clock, 'a.example', 'you', options), {
          code: 'keyring-leased',
          message: /a\.example is being changed by me, until 2026-11-21T09:01:00/,
        });
        await takeLease(other.store, clock, 'b.example', 'you', options);
        await lease.release();
        const next = await takeLease(other.store, clock, 'a.example', 'you', options);
        assert.equal(next.fence, lease.fence + 1);
      });

      it('runs out; then its old holder can write nothing any more', async () => {
        const slow = await takeLease(one.store, clock, 'a.example', 'slow', options);
        clock.advance(60_001);
        // Late, but nobody else came.
        await changeUnderLease(one.store, slow, 'a.example', async () => ({
          domain: domainOf('a.example', [KEY]),
          result: undefined,
        }));
        clock.advance(60_001);
        const next = await takeLease(other.store, clock, 'a.example', 'next', options);
        await assert.rejects(slow.check(), { code: 'keyring-lease-lost' });
        let edited = false;
        const late = changeUnderLease(one.store, slow, 'a.example', async () => {
          edited = true;
          return { domain: domainOf('a.example'), result: undefined };
        });
        await assert.rejects(late, { code: 'keyring-lease-lost' });
        assert.equal(edited, false);
        await slow.release(); // not its own any more
        await next.check();
        assert.equal((await one.store.read()).domains.get('a.example')?.keys.length, 1);
      });

      it('of a machine whose clock is a day ahead runs out for those who wait all the same', async () => {
        const ahead = new ManualClock(clock.wallMs() + 86_400_000);
        const dead = await takeLease(one.store, ahead, 'a.example', 'dead', options);
        const waiting = { leaseMs: 60_000, waitMs: 180_000 };
        let fence: number | undefined;
        const wanted = takeLease(other.store, clock, 'a.example', 'you', waiting).then((lease) => {
          fence = lease.fence;
        });
        const wait = async (ms: number) => {
          const endMs = clock.monotonicMs() + ms;
          while (clock.monotonicMs() < endMs && fence === undefined) {
            await waitFor('the waiter', () => clock.waiting > 0 || fence !== undefined);
            clock.advance(5000);
          }
        };
        await wait(40_000);
        const edit = async () => ({ domain: domainOf('a.example'), result: undefined });
        ahead.advance(1);
        await changeUnderLease(one.store, dead, 'a.example', edit); // it is not dead yet
        await wait(40_000);
        assert.equal(fence, undefined);
        await wait(60_000);
        await wanted;
        assert.equal(fence, dead.fence + 1);
        await assert.rejects(dead.check(), { code: 'keyring-lease-lost' });
      });

      it('is taken over in an emergency, at once', async () => {
        const slow = await takeLease(one.store, clock, 'a.example', 'rotate', options);
        const emergency = { ...options, takeOver: true };
        const lease = await takeLease(other.store, clock, 'a.example', 'emergency', emergency);
        await assert.rejects(slow.check(), {
          code: 'keyring-lease-lost',
          message: /taken over by emergency/,
        });
        assert.equal(lease.fence, slow.fence + 1);
      });

      it('is renewed by each write under it, and ends with the last', async () => {
        const lease = await takeLease(one.store, clock, 'a.example', 'me', options);
        clock.advance(50_000);
        const edit = async () => ({ domain: domainOf('a.example', [KEY]), result: 'written' });
        assert.equal(await changeUnderLease(one.store, lease, 'a.example', edit), 'written');
        clock.advance(50_000);
        const wanted = takeLease(other.store, clock, 'a.example', 'you', options);
        await assert.rejects(wanted, { code: 'keyring-leased' });
        await changeUnderLease(one.store, lease, 'a.example', edit, { release: true });
        assert.equal((await takeLease(other.store, clock, 'a.example', 'you', options)).fence, 2);
      });

      it('is waited for as long as one wants to', async () => {
        const lease = await takeLease(one.store, clock, 'a.example', 'me', options);
        const waiting = { leaseMs: 60_000, waitMs: 10_000 };
        const wanted = takeLease(other.store, clock, 'a.example', 'you', waiting);
        await waitFor('the waiter', () => clock.waiting > 0);
        await lease.release();
        clock.advance(1000);
        assert.equal((await wanted).fence, 2);
      });
    });

    describe('journal', () => {
      const entry = (n: number, more: Partial<JournalEntry> = {}): JournalEntry => ({
        at: new Date(Date.parse('2026-11-21T09:00:00Z') + n * 1000).toISOString(),
        caller: 'root',
        command: 'rotate',
        event: `event-${n}`,
        ...more,
      });
      const all = async (filter: JournalFilter = {}) => {
        const found: JournalEntry[] = [];
        for await (const one of other.journal.read(filter)) found.push(one);
        return found;
      };

      it('keeps entries in order, whole, and finds those of a domain or an intent', async () => {
        assert.deepEqual(await all(), []);
        const record = {
          name: 's._domainkey.a.example',
          type: 'TXT',
          ttlS: 60,
          value: 'v=x',
        } as const;
        const entries = [
          entry(1, { domain: 'a.example', intent: 'i-1', requestIds: ['r1'] }),
          entry(2, { domain: 'b.example', record, reason: 'línea\nnueva' }),
          entry(3, { domain: 'a.example', details: { x: 'y' }, selector: 's' }),
          entry(4),
          entry(5, { intent: 'i-1' }),
        ];
        for (const one of entries) await other.journal.append(one);
        assert.deepEqual(await all(), entries);
        assert.deepEqual(await all({ domain: 'a.example' }), [entries[0], entries[2]]);
        assert.deepEqual(await all({ intent: 'i-1' }), [entries[0], entries[4]]);
        assert.deepEqual(await all({ domain: 'c.example' }), []);
        await one.journal.append(entry(6, { domain: 'a.example', intent: 'i-2' }));
        const events = async (filter: JournalFilter) =>
          (await all(filter)).map(({ event }) => event);
        assert.deepEqual(await events({ domain: 'a.example' }), ['event-1', 'event-3', 'event-6']);
        assert.deepEqual(await events({ domain: 'a.example', intent: 'i-2' }), ['event-6']);
        assert.deepEqual(await events({ domain: 'b.example', intent: 'i-2' }), []);
        assert.equal((await events({})).length, 6);
      });

      it('loses none of many writers', async () => {
        const journals = Array.from({ length: 8 }, () => place.open().journal);
        await Promise.all(
          journals.map(async (journal, n) => {
            for (let k = 0; k < 5; k += 1) await journal.append(entry(10 * n + k));
          }),
        );
        assert.equal(new Set((await all()).map(({ event }) => event)).size, 40);
      });

      it('is apart from the keyring', async () => {
        await one.journal.append(entry(1));
        const before = await one.store.read().catch(() => undefined);
        assert.equal(before?.domains.size ?? 0, 0);
        await put(one.store, domainOf('a.example'));
        assert.equal((await all()).length, 1);
      });
    });

    describe('relay reports', () => {
      const report = (relay: string, generation: number): RelayReport => ({
        relay,
        host: 'h',
        version: '0.1.0',
        startedAt: '2026-11-21T09:00:00.000Z',
        at: '2026-11-21T09:00:00.000Z',
        goodUntil: '2026-11-21T09:01:30.000Z',
        generation,
        keys: [
          { domain: 'a.example', selector: 's', usable: false, reason: 'AccessDenied' },
          { domain: 'b.example', selector: 's', usable: true },
        ],
        keysMore: 0,
      });

      it('are one for each relay: the newest, until it takes it away', async () => {
        await put(one.store, domainOf('a.example'));
        assert.deepEqual(await one.reports.read(), []);
        for (const n of [1, 2, 3, 4]) await one.reports.write(report(`relay-${n}`, n));
        await one.reports.write(report('relay-2', 7));
        await one.reports.remove('relay-3');
        await one.reports.remove('relay-3');
        const read = await other.reports.read();
        assert.deepEqual(read, [report('relay-1', 1), report('relay-2', 7), report('relay-4', 4)]);
      });
    });
  });
}
