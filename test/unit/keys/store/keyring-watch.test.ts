import assert from 'node:assert/strict';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { activateKeys } from '../../../../src/keys/activate-keys.ts';
import { type KeyringAccess, keyringAccess } from '../../../../src/keys/keyring-access.ts';
import { KeyringHolder, type KeyringReload } from '../../../../src/keys/keyring-holder.ts';
import { KeyringWatch } from '../../../../src/keys/store/keyring-watch.ts';
import {
  addKeys,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
  TxtTable,
} from '../../../support/keyring.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

describe('a relay and its keyring', () => {
  let place: KeyringPlace;
  let clock: ManualClock;
  let access: KeyringAccess;
  let holder: KeyringHolder;
  let watch: KeyringWatch;
  let reloads: KeyringReload[];

  beforeEach(async () => {
    place = await makeKeyringPlace();
    clock = new ManualClock(Date.parse('2026-11-21T09:00:00Z'));
    access = keyringAccess(place, clock);
    reloads = [];
    await activeDomain('a.example');
    await begin();
  });
  afterEach(async () => {
    await watch.stop();
    await removeKeyringPlace(place);
  });

  async function begin(): Promise<void> {
    holder = new KeyringHolder({ ...place, clock, maxStaleMs: DAY_MS });
    assert.equal((await holder.reload()).kind, 'loaded');
    const onReload = (reload: KeyringReload) => reloads.push(reload);
    watch = new KeyringWatch({ holder, clock, intervalMs: 2000, onReload, random: () => 0.5 });
  }

  async function activeDomain(domain: string): Promise<void> {
    await addKeys(access, domain);
    await activateKeys(access, { domain, selectors: [], force: true }, new TxtTable());
  }

  const manifest = () => path.join(place.dir, 'keyring.yaml');
  const selectors = (domain: string) => {
    const answer = holder.keysFor(domain);
    return answer.kind === 'keys' ? answer.keys.map(({ selector }) => selector) : answer.kind;
  };

  it('takes changes over, and looks again and again', async () => {
    watch.start();
    await activeDomain('a.example');
    assert.deepEqual(selectors('a.example'), ['wx202611e1']);
    clock.advance(2000);
    await watch.stop();
    assert.deepEqual(selectors('a.example'), ['wx202611e2']);
    await begin();
    watch.start();
    for (let n = 0; n < 3; n += 1) {
      clock.advance(2000);
      await new Promise((resolve) => setImmediate(resolve));
      while (clock.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(clock.waiting, 1);
  });

  it('says nothing while nothing changes, and opens no key again for a change elsewhere', async () => {
    await watch.look();
    await watch.look();
    assert.equal(reloads.length, 0);
    const signer = () => {
      const answer = holder.keysFor('a.example');
      return answer.kind === 'keys' ? answer.keys[0]?.signer : undefined;
    };
    const before = signer();
    await activeDomain('b.example');
    await rm(path.join(place.dir, 'private', 'a.example'), { recursive: true });
    await watch.look();
    assert.equal(reloads.length, 1);
    assert.ok(reloads[0]?.kind === 'loaded');
    assert.deepEqual(reloads[0].complaints, []);
    assert.deepEqual(selectors('b.example'), ['wx202611e1']);
    assert.notEqual(before, undefined);
    assert.equal(signer(), before, 'the very same key');
  });

  it('takes a revocation though another manifest is broken, old or gone', async () => {
    const other = path.join(place.dir, 'other.yaml');
    const good = 'version: 1\ngeneration: 5\ndomains: {other.example: {keys: []}}\n';
    await writeFile(other, good);
    await watch.look();
    const text = await readFile(manifest(), 'utf8');
    const states = ['state: revoked', 'state: active', 'state: revoked', 'state: active'];
    const damages = [
      () => writeFile(other, 'nonsense: ['),
      () => writeFile(other, good.replace('5', '4')),
      () => rm(other),
      () => writeFile(other, good),
    ];
    for (const [index, state] of states.entries()) {
      await damages[index]?.();
      const changed = text.replace('state: active', state);
      await writeFile(manifest(), changed.replace(/generation: \d+/, `generation: ${10 + index}`));
      await watch.look();
      const isRevoked = state === 'state: revoked';
      assert.deepEqual(selectors('a.example'), isRevoked ? 'unusable' : ['wx202611e1']);
      assert.equal(selectors('other.example'), 'unusable', 'still listed');
    }
    assert.equal(holder.isConfirmed, true);
    assert.deepEqual(
      reloads.slice(1).map((one) => one.kind === 'loaded' && one.complaints[0]?.code),
      ['manifest-invalid', 'keyring-outdated', 'keyring-shrunk', undefined],
    );
  });

  it('tries a key again that did not open, later and later', async () => {
    await addKeys(access, 'b.example');
    const file = path.join(place.dir, 'private', 'b.example', 'wx202611e1.key');
    await activateKeys(access, { domain: 'b.example', selectors: [], force: true }, new TxtTable());
    await rename(file, `${file}.away`);
    await watch.look();
    assert.equal(selectors('b.example'), 'unusable');
    await rename(`${file}.away`, file);
    clock.advance(1000);
    await watch.look();
    assert.equal(selectors('b.example'), 'unusable', 'not yet');
    await rename(file, `${file}.away`);
    clock.advance(4000);
    const told = reloads.length;
    await watch.look();
    assert.equal(reloads.length, told, 'a retry that changes nothing says nothing');
    await rename(`${file}.away`, file);
    clock.advance(5000);
    await watch.look();
    assert.equal(selectors('b.example'), 'unusable', 'each time later');
    clock.advance(5000);
    await watch.look();
    assert.deepEqual(selectors('b.example'), ['wx202611e1']);
  });

  describe('where a look takes long', () => {
    /** When looks begin; each reads at its start, and what it read is in force when it ends. */
    async function starts(tookMs: number, random: number): Promise<readonly number[]> {
      const began: number[] = [];
      let underWay = 0;
      holder.refresh = async () => {
        underWay += 1;
        assert.equal(underWay, 1, 'never two at the same time');
        began.push(clock.monotonicMs());
        await new Promise<void>((resolve) => clock.after(tookMs, resolve));
        underWay -= 1;
        return undefined;
      };
      const onReload = () => {};
      const other = new KeyringWatch({
        ...{ holder, clock, intervalMs: 2000, onReload, random: () => random },
      });
      other.start();
      while (began.length < 5) {
        clock.advance(10);
        await nextTurn();
      }
      const stopped = other.stop();
      clock.advance(tookMs);
      await stopped;
      return began;
    }

    /** The longest time from a change, made just after a look read, to its being in force. */
    async function latestMs(tookMs: number): Promise<number> {
      const times: number[] = [];
      for (const random of [0, 0.5, 0.999]) {
        const began = await starts(tookMs, random);
        times.push(...began.slice(1).map((startMs, index) => startMs - (began[index] ?? 0)));
      }
      return Math.max(...times) + tookMs;
    }

    for (const tookMs of [10, 100, 400, 500, 700, 1000, 1500, 1900, 2200, 2400]) {
      it(`of ${tookMs} ms, a change is in force within five seconds`, async () => {
        assert.ok((await latestMs(tookMs)) <= 5000);
      });
    }

    for (const tookMs of [10, 500, 1000, 1500, 1700]) {
      it(`of ${tookMs} ms, there is a second left for a service that opens new keys`, async () => {
        assert.ok((await latestMs(tookMs)) <= 4000);
      });
    }

    for (const tookMs of [4000, 30_000]) {
      it(`of ${tookMs} ms, a change takes two looks and little more`, async () => {
        assert.ok((await latestMs(tookMs)) <= 2.1 * tookMs);
      });
    }

    it('does not shorten the pause where looks are quick', async () => {
      const began = await starts(50, 0.5);
      assert.deepEqual(
        began.map((ms) => ms - (began[0] ?? 0)),
        [0, 2000, 4000, 6000, 8000],
      );
    });
  });

  describe('cut off from it', () => {
    const cutOff = () => rename(place.dir, `${place.dir}.away`);

    it('signs for maxStaleMs, then for nobody, and again when it is back', async () => {
      await cutOff();
      clock.advance(DAY_MS - 1000);
      await watch.look();
      assert.equal(reloads[0]?.kind, 'kept');
      assert.equal(holder.fault, undefined);
      assert.deepEqual(selectors('a.example'), ['wx202611e1']);
      clock.advance(1001);
      assert.match(holder.fault ?? '', /could not be confirmed since 2026-11-21T09:00:00/);
      const answer = holder.keysFor('a.example');
      assert.ok(answer.kind === 'unusable');
      assert.match(answer.reason, /keys\.maxStaleMs/);
      await rename(`${place.dir}.away`, place.dir);
      await watch.look();
      assert.equal(holder.fault, undefined);
      assert.deepEqual(selectors('a.example'), ['wx202611e1']);
    });

    it('counts the time that the machine slept, and a wall clock that was set back', async () => {
      await cutOff();
      const asleep = new ManualClock(clock.wallMs());
      const split = {
        wallMs: () => asleep.wallMs(),
        monotonicMs: () => clock.monotonicMs(),
        after: clock.after.bind(clock),
      };
      await rename(`${place.dir}.away`, place.dir);
      const other = new KeyringHolder({ ...place, clock: split, maxStaleMs: DAY_MS });
      await other.reload();
      asleep.advance(DAY_MS + 1); // the wall clock only: suspended
      assert.notEqual(other.fault, undefined);
      await other.refresh(false);
      assert.equal(other.fault, undefined);
      clock.advance(DAY_MS + 1); // the monotonic one only: set back
      assert.notEqual(other.fault, undefined);
    });

    it('for one shard only, holds the domains of that one', async () => {
      const other = path.join(place.dir, 'other.yaml');
      await rename(manifest(), other);
      await watch.look(); // a domain may move to another file
      await activeDomain('b.example');
      await watch.look();
      await writeFile(other, 'nonsense: [');
      clock.advance(DAY_MS / 2);
      await watch.look();
      clock.advance(DAY_MS / 2 + 1);
      await watch.look();
      assert.equal(holder.fault, undefined);
      assert.equal(selectors('a.example'), 'unusable');
      assert.deepEqual(selectors('b.example'), ['wx202611e1']);
    });
  });
});
