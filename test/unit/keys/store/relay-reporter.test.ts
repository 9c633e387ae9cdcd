import assert from 'node:assert/strict';
import { chmod, copyFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { activateKeys } from '../../../../src/keys/activate-keys.ts';
import { type KeyringAccess, keyringAccess } from '../../../../src/keys/keyring-access.ts';
import { KeyringHolder } from '../../../../src/keys/keyring-holder.ts';
import { HEARTBEAT_MS, RelayReporter } from '../../../../src/keys/store/relay-reporter.ts';
import {
  canUse,
  FileReports,
  isAlive,
  type RelayReport,
  type ReportedKey,
} from '../../../../src/keys/store/relay-reports.ts';
import {
  addKeys,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
  TxtTable,
} from '../../../support/keyring.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { waitFor } from '../../../support/wait-for.ts';

describe('relay reports', () => {
  let place: KeyringPlace;
  let clock: ManualClock;
  let access: KeyringAccess;
  let holder: KeyringHolder;
  let reporter: RelayReporter;
  const troubles: string[] = [];
  const lost: ReportedKey[] = [];
  /** What chance gives, in turn; then the middle. */
  let chances: number[] = [];

  beforeEach(async () => {
    troubles.length = 0;
    lost.length = 0;
    chances = [];
    place = await makeKeyringPlace();
    clock = new ManualClock(Date.parse('2026-11-21T09:00:00Z'));
    access = keyringAccess(place, clock);
    await addKeys(access, 'a.example');
    await activateKeys(access, { domain: 'a.example', selectors: [], force: true }, new TxtTable());
    holder = new KeyringHolder({ ...place, clock });
    await holder.reload();
    reporter = new RelayReporter({
      holder,
      reports: new FileReports(place.dir),
      clock,
      relay: 'relay-1',
      host: 'host',
      version: '0.1.0',
      random: () => chances.shift() ?? 0.5,
      onTrouble: ({ message }) => troubles.push(message),
      onLost: (key) => lost.push(key),
    });
  });
  afterEach(async () => {
    await reporter.stop();
    await removeKeyringPlace(place);
  });

  async function look(): Promise<RelayReport> {
    await holder.refresh(false);
    reporter.onLook();
    await reporter.settled();
    const [report] = await new FileReports(place.dir).read();
    assert.ok(report !== undefined);
    return report;
  }

  const KEY = { domain: 'a.example', selector: 'wx202611e2' };
  const keyFile = () => path.join(place.dir, 'private', KEY.domain, `${KEY.selector}.key`);

  it('tell what is in force, and that a new key can be used', async () => {
    const before = await look();
    assert.equal(before.generation, 2);
    await addKeys(access, 'a.example');
    assert.equal(canUse(before, KEY), 'not-yet');
    const report = await look();
    assert.equal(report.generation, 3);
    assert.deepEqual(report.keys, [{ ...KEY, usable: true }]);
    assert.equal(canUse(report, KEY), 'yes');
    assert.equal(report.host, 'host');
  });

  it('tell which key cannot be used, and try it again later', async () => {
    await addKeys(access, 'a.example');
    await rename(keyFile(), `${keyFile()}.away`);
    const report = await look();
    assert.equal(canUse(report, KEY), 'no');
    assert.match(report.keys[0]?.reason ?? '', /does not exist/);
    await rename(`${keyFile()}.away`, keyFile());
    assert.equal(canUse(await look(), KEY), 'no');
    clock.advance(10_000);
    assert.equal(canUse(await look(), KEY), 'yes');
  });

  describe('of a key that stands by for long', () => {
    const DAY_MS = 86_400_000;

    beforeEach(async () => {
      await addKeys(access, 'a.example');
      await rename(keyFile(), `${keyFile()}.kept`);
      await copyFile(`${keyFile()}.kept`, keyFile());
      assert.equal(canUse(await look(), KEY), 'yes');
      await rm(keyFile());
    });

    it('tell within a day and six hours that it cannot be used any more, and say so once', async () => {
      clock.advance(0.7 * DAY_MS);
      assert.equal(canUse(await look(), KEY), 'yes', 'each trial may cost a call');
      clock.advance(0.3 * DAY_MS);
      assert.equal(canUse(await look(), KEY), 'no');
      assert.deepEqual(
        lost.map(({ domain, selector }) => ({ domain, selector })),
        [KEY],
      );
      assert.match(lost[0]?.reason ?? '', /does not exist/);
      for (let n = 0; n < 3; n += 1) {
        clock.advance(DAY_MS);
        assert.equal(canUse(await look(), KEY), 'no');
      }
      assert.equal(lost.length, 1);
    });

    it('tell soon that it can be used again', async () => {
      clock.advance(DAY_MS);
      assert.equal(canUse(await look(), KEY), 'no');
      await rename(`${keyFile()}.kept`, keyFile());
      clock.advance(10_000);
      assert.equal(canUse(await look(), KEY), 'yes');
      await rm(keyFile());
      clock.advance(DAY_MS);
      await look();
      assert.equal(lost.length, 2);
    });

    it('are made anew at once when the keyring says something else of it', async () => {
      await access.store.change(async (current) => {
        const entry = current.domains.get(KEY.domain);
        assert.ok(entry !== undefined);
        const keys = entry.keys.map((key) =>
          key.selector === KEY.selector ? { ...key, material: { kept: 'elsewhere' } } : key,
        );
        return { domain: { ...entry, keys }, result: undefined };
      });
      assert.equal(canUse(await look(), KEY), 'no');
    });
  });

  it('tell of trials at different times, so that not all are repeated at once', async () => {
    for (const _ of [1, 2, 3]) await addKeys(access, 'a.example');
    chances = [0, 0.5, 0.99];
    await look();
    const { backends } = holder;
    const connected = await backends.get('file');
    let asked = 0;
    backends.get = async () => {
      asked += 1;
      return connected;
    };
    const counts: number[] = [];
    for (const hours of [17, 2, 6, 6]) {
      clock.advance(hours * 3_600_000);
      await look();
      counts.push(asked);
    }
    assert.deepEqual(counts, [0, 1, 2, 3]);
  });

  it('claim no generation of which a part was not taken', async () => {
    await look();
    await writeFile(path.join(place.dir, 'other.yaml'), 'nonsense: [');
    await addKeys(access, 'b.example').catch(() => undefined); // refuses: the keyring is broken
    const text = 'version: 1\ngeneration: 9\ndomains: {c.example: {keys: []}}\n';
    await writeFile(path.join(place.dir, 'good.yaml'), text);
    const report = await look();
    assert.equal(holder.keyring?.generation, 9);
    assert.equal(report.generation, 2);
  });

  it('are all read, however many killed relays have left theirs', async () => {
    const report = await look();
    const reports = new FileReports(place.dir);
    const dead = { ...report, goodUntil: '2026-11-20T00:00:00.000Z' };
    const directory = path.join(place.dir, 'relays');
    for (let n = 1000; n < 2100; n += 1) {
      const relay = `dead-${n}`;
      await writeFile(path.join(directory, `${relay}.json`), JSON.stringify({ ...dead, relay }));
    }
    const read = await reports.read();
    assert.equal(read.length, 1101);
    const alive = read.filter((one) => isAlive(one, clock.wallMs()));
    assert.deepEqual(alive, [report]);
  });

  it('beat like a heart, and are taken away at the end', async () => {
    const first = await look();
    clock.advance(HEARTBEAT_MS - 1);
    assert.equal((await look()).at, first.at);
    clock.advance(1);
    const second = await look();
    assert.notEqual(second.at, first.at);
    assert.ok(isAlive(second, clock.wallMs() + 2 * HEARTBEAT_MS));
    assert.ok(!isAlive(second, clock.wallMs() + 4 * HEARTBEAT_MS));
    await reporter.stop();
    assert.deepEqual(await readdir(path.join(place.dir, 'relays')), []);
  });

  it('of relays that were killed are forgotten after a week, or when their host has another', async () => {
    const reports = new FileReports(place.dir);
    const report = await look();
    const old = new Date(clock.wallMs() - 8 * 86_400_000).toISOString();
    await reports.write({ ...report, relay: 'killed', at: old });
    const late = new Date(clock.wallMs() - 6 * 86_400_000).toISOString();
    await reports.write({ ...report, relay: 'late', at: late });
    const today = new Date(clock.wallMs() - 4_000_000).toISOString();
    const earlier = { ...report, startedAt: today, at: today };
    await reports.write({ ...earlier, relay: 'killed-here' });
    await reports.write({ ...earlier, relay: 'killed-elsewhere', host: 'other' });
    clock.advance(86_400_000);
    await look();
    const left = (await reports.read()).map(({ relay }) => relay);
    assert.deepEqual(left, ['killed-elsewhere', 'late', 'relay-1']);
  });

  it('that cannot be written are said once and hinder nothing', async () => {
    await writeFile(path.join(place.dir, 'relays'), 'no directory');
    for (let n = 0; n < 3; n += 1) {
      reporter.onLook();
      await reporter.settled();
      clock.advance(HEARTBEAT_MS);
    }
    assert.equal(troubles.length, 1);
    assert.match(troubles[0] ?? '', /relays/);
    await chmod(place.dir, 0o750);
  });

  it('of a relay that is cut off leave its place alone, and go on when it is back', async () => {
    await look();
    await rename(place.dir, `${place.dir}.away`);
    clock.advance(HEARTBEAT_MS);
    await holder.refresh(false);
    reporter.onLook();
    await reporter.settled();
    await rename(`${place.dir}.away`, place.dir); // fails when there is a new directory in its place
    assert.equal(troubles.length, 1);
    clock.advance(HEARTBEAT_MS);
    assert.equal((await look()).at, new Date(clock.wallMs()).toISOString());
  });

  it('that could not be written once are there again at the next beat', async () => {
    await look();
    await rename(path.join(place.dir, 'relays'), path.join(place.dir, 'away'));
    await writeFile(path.join(place.dir, 'relays'), 'no directory');
    clock.advance(HEARTBEAT_MS);
    reporter.onLook();
    await reporter.settled();
    await rm(path.join(place.dir, 'relays'));
    clock.advance(HEARTBEAT_MS);
    assert.ok(isAlive(await look(), clock.wallMs()));
  });

  it('are renewed while probes take long, with what is known by then', async () => {
    await look();
    await addKeys(access, 'a.example');
    await addKeys(access, 'b.example');
    await holder.refresh(false);
    const { backends } = holder;
    const connected = await backends.get('file');
    const answer = Promise.withResolvers<typeof connected>();
    let asked = 0;
    backends.get = async () => {
      asked += 1;
      return asked === 1 ? connected : await answer.promise;
    };
    reporter.onLook();
    const reports = new FileReports(place.dir);
    for (let beat = 0; beat < 4; beat += 1) {
      clock.advance(HEARTBEAT_MS);
      await waitFor('a report of now', async () => {
        reporter.onLook(); // as the watch does every two seconds
        const [report] = await reports.read();
        return report !== undefined && Date.parse(report.at) === clock.wallMs();
      });
    }
    const [report] = await reports.read();
    assert.ok(report !== undefined && isAlive(report, clock.wallMs()));
    assert.equal(canUse(report, KEY), 'yes');
    answer.resolve(connected);
    await reporter.settled();
    assert.equal((await reports.read())[0]?.keys.length, 2);
  });

  it('of others that are damaged are passed over', async () => {
    await look();
    for (const [name, text] of [
      ['half', '{"relay":'],
      ['list', '[]'],
      ['empty', ''],
      ['nameless', '{"keys":[]}'],
    ]) {
      await writeFile(path.join(place.dir, 'relays', `${name}.json`), text ?? '');
    }
    const reports = await new FileReports(place.dir).read();
    assert.deepEqual(
      reports.map(({ relay }) => relay),
      ['relay-1'],
    );
  });
});
