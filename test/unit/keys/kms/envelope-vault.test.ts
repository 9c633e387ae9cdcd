import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { EnvelopeVault } from '../../../../src/keys/kms/envelope-vault.ts';
import { KmsError } from '../../../../src/keys/kms/kms-fault.ts';
import type { Signer } from '../../../../src/mail/signer.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { testKey } from '../../../support/test-signer.ts';

describe('vault of wrapped keys', () => {
  let clock: ManualClock;
  let alerts: string[];
  let vault: EnvelopeVault;
  let asked: number;
  let down: boolean;

  beforeEach(() => {
    clock = new ManualClock();
    alerts = [];
    asked = 0;
    down = false;
    vault = new EnvelopeVault({ clock, random: () => 1, alert: (text) => alerts.push(text) });
  });
  afterEach(() => vault.close());

  const signer = (): Signer => ({ ...testKey('example.com', 's', 'ed25519-sha256').signer });
  const open = async () => {
    asked += 1;
    await nextTurn();
    if (down) throw new KmsError('unavailable', 'KMS is down');
    return signer();
  };
  const settle = async () => {
    for (let turn = 0; turn < 5; turn += 1) await nextTurn();
  };

  it('opens a key once, side by side too', async () => {
    const [one, two] = await Promise.all([vault.get('a', 'a', open), vault.get('a', 'a', open)]);
    const three = await vault.get('a', 'a', open);
    assert.ok(one.kind === 'open' && two.kind === 'open' && three.kind === 'open');
    assert.equal(one.signer, two.signer);
    assert.equal(one.signer, three.signer);
    assert.equal(asked, 1);
    await vault.get('b', 'b', open);
    assert.equal(asked, 2);
  });

  it('tries again after 1, 2, 4 … 60 seconds, and what was handed out becomes usable', async () => {
    down = true;
    const got = await vault.get('a', 'example.com, selector a', open);
    assert.ok(got.kind === 'later');
    const waits: number[] = [];
    for (let retry = 0; retry < 8; retry += 1) {
      const before = asked;
      let waited = 0;
      while (asked === before) {
        clock.advance(1000);
        waited += 1;
        await settle();
      }
      waits.push(waited);
      assert.equal(got.later.signer, undefined);
      assert.equal(got.later.reason, 'KMS is down');
    }
    assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    down = false;
    clock.advance(60_000);
    await settle();
    assert.ok(got.later.signer !== undefined);
    assert.deepEqual(alerts, ['example.com, selector a can be used now']);
    const again = await vault.get('a', 'a', open);
    assert.ok(again.kind === 'open' && again.signer === got.later.signer);
    assert.equal(clock.waiting, 0);
  });

  it('does not ask again for a key that is being retried', async () => {
    down = true;
    await vault.get('a', 'a', open);
    const again = await vault.get('a', 'a', open);
    assert.equal(again.kind, 'later');
    assert.equal(asked, 1);
  });

  it('retries at most 16 at the same time', async () => {
    down = true;
    let running = 0;
    let most = 0;
    const held = await Promise.all(
      Array.from({ length: 100 }, (_item, index) =>
        vault.get(String(index), 'a', async () => {
          running += 1;
          most = Math.max(most, running);
          await nextTurn();
          running -= 1;
          if (down) throw new KmsError('unavailable', 'down');
          return signer();
        }),
      ),
    );
    most = 0;
    down = false;
    clock.advance(1000);
    for (let turn = 0; turn < 50; turn += 1) await nextTurn();
    assert.equal(most, 16);
    assert.ok(held.every((one) => one.kind === 'later' && one.later.signer !== undefined));
  });

  it('waits for many keys a second long; the others are opened while it goes on', async () => {
    const openSlowly = async () => {
      clock.advance(400);
      return await open();
    };
    const kinds: string[] = [];
    const got = [];
    for (let count = 0; count < 5; count += 1) {
      const one = await vault.get(String(count), `key ${count}`, openSlowly);
      kinds.push(one.kind);
      got.push(one);
    }
    assert.deepEqual(kinds, ['open', 'open', 'open', 'later', 'later']);
    const [waiting] = got.slice(3);
    assert.ok(waiting?.kind === 'later');
    assert.equal(waiting.error.kind, 'over-quota');
    await settle();
    assert.equal(asked, 5);
    assert.ok(got.slice(3).every((one) => one.kind === 'later' && one.later.signer !== undefined));
    assert.ok(got.slice(3).every((one) => one.kind === 'later' && !one.later.pending));
    assert.equal((await vault.get('4', 'key 4', open)).kind, 'open');
    assert.equal(alerts.length, 2);
    assert.match(alerts[0] ?? '', /more wrapped keys than can be decrypted in a moment/);
    assert.equal(alerts[1], '2 wrapped keys were decrypted meanwhile, 0 were not');
    clock.advance(2000);
    assert.equal((await vault.get('5', 'key 5', open)).kind, 'open', 'patient again');
  });

  it('tries a key of the queue again that did not open', async () => {
    await vault.get('first', 'first', async () => {
      clock.advance(1000);
      return await open();
    });
    down = true;
    const got = await vault.get('a', 'key a', open);
    assert.ok(got.kind === 'later' && got.later.pending);
    await settle();
    assert.equal(got.later.reason, 'KMS is down');
    assert.equal(got.later.pending, false);
    assert.equal(alerts[1], '0 wrapped keys were decrypted meanwhile, 1 were not');
    down = false;
    clock.advance(1000);
    await settle();
    assert.ok(got.later.signer !== undefined);
  });

  it('opens at most 16 keys of the queue at the same time, and each once', async () => {
    await vault.get('first', 'first', async () => {
      clock.advance(1000);
      return await open();
    });
    let running = 0;
    let most = 0;
    let times = 0;
    const get = (index: number) =>
      vault.get(String(index), 'a', async () => {
        running += 1;
        times += 1;
        most = Math.max(most, running);
        await nextTurn();
        running -= 1;
        return signer();
      });
    const got = await Promise.all(Array.from({ length: 300 }, (_item, index) => get(index)));
    await Promise.all(Array.from({ length: 300 }, (_item, index) => get(index)));
    for (let turn = 0; turn < 50; turn += 1) await nextTurn();
    assert.equal(most, 16);
    assert.equal(times, 300);
    assert.ok(got.every((one) => one.kind === 'later' && one.later.signer !== undefined));
  });

  it('waits for each key where it is told to', async () => {
    const patient = new EnvelopeVault({
      clock,
      random: () => 1,
      alert: (text) => alerts.push(text),
      isPatient: true,
    });
    for (let count = 0; count < 5; count += 1) {
      const { kind } = await patient.get(String(count), 'a', async () => {
        clock.advance(400);
        return await open();
      });
      assert.equal(kind, 'open');
    }
    patient.close();
  });

  it('keeps no key that no keyring has any more: a revoked one leaves the memory', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const kept = await vault.get('kept', 'kept', open);
    // In a function of its own, so that nothing on this stack refers to the key.
    await (async () => void (await vault.get('dropped', 'dropped', open)))();
    for (let round = 0; round < 50 && asked < 3; round += 1) {
      await settle();
      collect();
      await vault.get('dropped', 'dropped', open);
    }
    assert.equal(asked, 3, 'it was gone and had to be opened again');
    await vault.get('kept', 'kept', open);
    assert.equal(asked, 3);
    assert.equal(kept.kind, 'open');
  });

  it('stops when it is closed', async () => {
    down = true;
    await vault.get('a', 'a', open);
    vault.close();
    clock.advance(3_600_000);
    await settle();
    assert.equal(asked, 1);
  });
});
