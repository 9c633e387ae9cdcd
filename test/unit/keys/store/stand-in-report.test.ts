import assert from 'node:assert/strict';
import { rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { activateKeys } from '../../../../src/keys/activate-keys.ts';
import { type KeyringAccess, keyringAccess } from '../../../../src/keys/keyring-access.ts';
import { KeyringHolder } from '../../../../src/keys/keyring-holder.ts';
import { KeysError } from '../../../../src/keys/keys-error.ts';
import { HEARTBEAT_MS, RelayReporter } from '../../../../src/keys/store/relay-reporter.ts';
import {
  FileReports,
  isAlive,
  MAX_LISTED_STAND_INS,
  type RelayReport,
  type RelayReports,
} from '../../../../src/keys/store/relay-reports.ts';
import {
  addKeys,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
  TxtTable,
} from '../../../support/keyring.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

const DOMAIN = 'a.example';
const OLD = 'wx202611e1';
const HOUR_MS = 3_600_000;

/** The private half of the new key is missing on the relay, so the retiring one signs there. */
describe('the report of a relay on which a retiring key stands in', () => {
  let place: KeyringPlace;
  let clock: ManualClock;
  let access: KeyringAccess;
  let reports: FileReports;
  const relays: RelayReporter[] = [];

  beforeEach(async () => {
    place = await makeKeyringPlace();
    clock = new ManualClock(Date.parse('2026-11-21T09:00:00Z'));
    access = keyringAccess(place, clock);
    reports = new FileReports(place.dir);
    for (const _ of [1, 2]) {
      await addKeys(access, DOMAIN);
      await activate();
    }
    await rename(newKey(), `${newKey()}.away`);
  });
  afterEach(async () => {
    for (const relay of relays.splice(0)) await relay.stop();
    await removeKeyringPlace(place);
  });

  const newKey = () => path.join(place.dir, 'private', DOMAIN, 'wx202611e2.key');
  const iso = (ms = 0) => new Date(clock.wallMs() + ms).toISOString();
  const standIn = (at: string, selector = OLD) => ({ domain: DOMAIN, selector, at });

  async function activate(): Promise<void> {
    await activateKeys(access, { domain: DOMAIN, selectors: [], force: true }, new TxtTable());
  }

  interface Relay {
    readonly holder: KeyringHolder;
    readonly reporter: RelayReporter;
    /** As the watch does. */
    look(retry?: boolean): Promise<void>;
    report(): Promise<RelayReport | undefined>;
  }

  async function start(relay: string, host = 'host', own: RelayReports = reports): Promise<Relay> {
    const holder = new KeyringHolder({ ...place, clock });
    assert.equal((await holder.reload()).kind, 'loaded');
    const reporter = new RelayReporter({
      ...{ holder, reports: own, clock, relay, host, version: '0.1.0' },
      onTrouble: () => {},
    });
    relays.push(reporter);
    const look = async (retry = false) => {
      await holder.refresh(retry);
      reporter.onLook();
      await reporter.settled();
    };
    await look();
    const report = async () => (await reports.read()).find((one) => one.relay === relay);
    return { holder, reporter, look, report };
  }

  it('tells when it signed last: now, while that goes on', async () => {
    const { look, report } = await start('relay-1');
    assert.deepEqual((await report())?.standIns, [standIn(iso())]);
    for (let beat = 1; beat <= 3; beat += 1) {
      clock.advance(HEARTBEAT_MS);
      await look();
      assert.deepEqual((await report())?.standIns, [standIn(iso())]);
    }
  });

  it('is not written at every look, though the time changes', async () => {
    const { look, report } = await start('relay-1');
    const at = iso();
    clock.advance(2000);
    await look();
    assert.equal((await report())?.at, at);
  });

  it('keeps the time at which the relay was mended', async () => {
    const { look, report } = await start('relay-1');
    clock.advance(20_000);
    await rename(`${newKey()}.away`, newKey());
    await look(true);
    const mendedAt = iso();
    clock.advance(HOUR_MS);
    await look();
    assert.deepEqual((await report())?.standIns, [standIn(mendedAt)]);
  });

  it('tells of uses that others note, the last of which counts', async () => {
    await rename(`${newKey()}.away`, newKey());
    const { holder, look, report } = await start('relay-1');
    assert.deepEqual((await report())?.standIns, []);
    holder.standIns.noteUse(DOMAIN, OLD, clock.wallMs());
    holder.standIns.noteUse(DOMAIN, OLD, clock.wallMs() - 5000);
    holder.standIns.noteUse(DOMAIN, 'wx202611e2', clock.wallMs()); // active: nothing special
    await look();
    assert.deepEqual((await report())?.standIns, [standIn(iso())]);
  });

  it('stays when the relay ends, and counts for nothing else then', async () => {
    const { reporter, report } = await start('relay-1');
    clock.advance(10_000);
    await reporter.stop();
    const left = await report();
    assert.ok(left !== undefined && !isAlive(left, clock.wallMs()));
    assert.deepEqual(left.standIns, [standIn(iso())]);
    assert.deepEqual(left.keys, []);
  });

  it('is taken away when the relay ends, once the key is withdrawn', async () => {
    const { holder, reporter, look, report } = await start('relay-1');
    const stoodInAt = iso();
    await withdraw(stoodInAt);
    await look();
    const key = holder.keyring?.snapshot.domains.get(DOMAIN)?.keys[0];
    assert.equal(key?.stoodInAt, stoodInAt);
    assert.deepEqual((await report())?.standIns, []);
    await reporter.stop();
    assert.equal(await report(), undefined);
  });

  async function withdraw(stoodInAt: string): Promise<void> {
    await access.store.change(async (current) => {
      const entry = current.domains.get(DOMAIN);
      assert.ok(entry !== undefined);
      const keys = entry.keys.map((key) =>
        key.selector === OLD ? { ...key, state: 'revoked' as const, stoodInAt } : key,
      );
      return { domain: { ...entry, keys }, result: undefined };
    });
  }

  it('is taken over by the relay that takes it away, as one that was killed leaves it', async () => {
    const killed = await start('relay-1');
    const report = await killed.report();
    assert.ok(report !== undefined);
    const lastAt = iso();
    relays.length = 0; // it was killed
    await rename(`${newKey()}.away`, newKey());
    clock.advance(HOUR_MS);
    const next = await start('relay-2');
    assert.deepEqual((await next.report())?.standIns, []);
    clock.advance(2 * HOUR_MS);
    await next.look();
    assert.deepEqual((await next.report())?.standIns, [standIn(lastAt)]);
    assert.equal(await killed.report(), undefined);
    clock.advance(8 * 24 * HOUR_MS);
    await next.reporter.stop();
    const other = await start('relay-3', 'another host');
    assert.deepEqual((await other.report())?.standIns, []);
    clock.advance(8 * 24 * HOUR_MS);
    await other.look();
    assert.deepEqual((await other.report())?.standIns, [standIn(lastAt)]);
    assert.equal(await next.report(), undefined);
  });

  it('is not taken away before what it says stands elsewhere', async () => {
    const { report } = await start('relay-1');
    relays.length = 0;
    await rename(`${newKey()}.away`, newKey());
    clock.advance(8 * 24 * HOUR_MS);
    let isFull = true;
    const own: RelayReports = {
      read: async () => await reports.read(),
      remove: async (relay) => await reports.remove(relay),
      write: async (next) => {
        if (isFull && next.standIns?.length !== 0)
          throw new KeysError('keyring-unwritable', 'full');
        await reports.write(next);
      },
    };
    const next = await start('relay-2', 'another host', own);
    assert.notEqual(await report(), undefined);
    isFull = false;
    clock.advance(2 * HOUR_MS);
    await next.look();
    assert.equal(await report(), undefined);
    assert.equal((await next.report())?.standIns?.length, 1);
  });

  it('names as many keys as fit, and says of the others when the last of them signed', async () => {
    const { holder, report, look } = await start('relay-1');
    const count = MAX_LISTED_STAND_INS + 5;
    const broken = path.join(place.dir, 'broken.yaml');
    await writeFile(broken, 'nonsense: ['); // the domains may stand there
    for (let n = 1; n <= count; n += 1) {
      holder.standIns.noteUse(`d${n}.example`, OLD, clock.wallMs() - n);
    }
    await look();
    const { standIns = [], standInsMoreAt } = (await report()) ?? {};
    assert.equal(standIns.length, MAX_LISTED_STAND_INS);
    assert.deepEqual(standIns[0], standIn(iso()));
    assert.equal(standInsMoreAt, iso(-MAX_LISTED_STAND_INS));
    relays.length = 0;
    await rm(broken);
    clock.advance(8 * 24 * HOUR_MS);
    const other = await start('relay-2', 'another host');
    assert.equal((await other.report())?.standInsMoreAt, standInsMoreAt);
  });

  it('is read without damaged parts, and without any from older relays', async () => {
    const { report } = await start('relay-1');
    const whole = await report();
    const file = path.join(place.dir, 'relays', 'relay-1.json');
    const rows: readonly [unknown, unknown][] = [
      [undefined, undefined],
      ['text', undefined],
      [[{ domain: DOMAIN, selector: OLD, at: 'soon' }, null, 7], []],
      [[standIn(iso())], [standIn(iso())]],
    ];
    for (const [written, expected] of rows) {
      await writeFile(file, JSON.stringify({ ...whole, standIns: written, standInsMoreAt: 7 }));
      const read = await report();
      assert.deepEqual(read?.standIns, expected);
      assert.equal(read?.standInsMoreAt, undefined);
    }
  });
});
