import assert from 'node:assert/strict';
import { activateKeys } from '../../../../src/keys/activate-keys.ts';
import { type Keyring, loadKeyring } from '../../../../src/keys/keyring.ts';
import { type KeyringAccess, keyringAccess } from '../../../../src/keys/keyring-access.ts';
import { RecordRecheck } from '../../../../src/keys/store/record-recheck.ts';
import type { TxtAnswer, TxtLookup } from '../../../../src/keys/txt-lookup.ts';
import {
  addKeys,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
  TxtTable,
} from '../../../support/keyring.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

const HOUR_MS = 3_600_000;

describe('re-check of records', () => {
  let place: KeyringPlace;
  let clock: ManualClock;
  let access: KeyringAccess;
  let dns: TxtTable;
  let keyring: Keyring;
  let said: string[];

  beforeEach(async () => {
    place = await makeKeyringPlace();
    clock = new ManualClock(Date.parse('2026-11-21T09:00:00Z'));
    access = keyringAccess(place, clock);
    dns = new TxtTable();
    said = [];
    for (const domain of ['a.example', 'b.example']) await activate(domain);
    keyring = await loadKeyring(place);
  });
  afterEach(async () => await removeKeyringPlace(place));

  async function activate(domain: string): Promise<void> {
    const { added } = await addKeys(access, domain);
    dns.publish(domain, ...added);
    const selectors = added.map(({ selector }) => selector);
    await activateKeys(access, { domain, selectors, force: true }, new TxtTable());
  }

  function recheck(lookup: TxtLookup = dns): RecordRecheck {
    return new RecordRecheck({
      keyring: () => keyring,
      lookup,
      clock,
      intervalMs: HOUR_MS,
      onFinding: ({ name, verdict }) => said.push(`${name} ${verdict}`),
      onWell: ({ name }) => said.push(`${name} well`),
      random: () => 0.5,
    });
  }

  async function pass(check: RecordRecheck, ms: number, steps = 4): Promise<void> {
    for (let step = 0; step < steps; step += 1) {
      clock.advance(ms / steps);
      await check.settled();
    }
  }

  const NAME = 'wx202611e1._domainkey.a.example';
  const record = (domain: string) => keyring.snapshot.domains.get(domain)!.keys[0]!;

  it('asks for each active and retiring key once in an hour, spread over it', async () => {
    await activate('a.example'); // the first one is retiring now
    await addKeys(access, 'a.example'); // and a third was never active
    keyring = await loadKeyring(place);
    const check = recheck();
    check.start();
    await pass(check, HOUR_MS / 3 - 1);
    assert.equal(dns.asked.length, 0);
    await pass(check, (2 * HOUR_MS) / 3 + 1, 30);
    assert.deepEqual(dns.asked.toSorted(), [
      NAME,
      'wx202611e1._domainkey.b.example',
      'wx202611e2._domainkey.a.example',
    ]);
    await pass(check, HOUR_MS, 30);
    assert.equal(dns.asked.length, 6);
    assert.deepEqual(said, []);
    await check.stop();
    assert.equal(clock.waiting, 0);
  });

  it('says that a record is gone or another one, each time, and that it is back', async () => {
    const check = recheck();
    check.start();
    dns.set(NAME);
    await pass(check, HOUR_MS);
    dns.set(NAME, `v=DKIM1; k=ed25519; p=${'A'.repeat(43)}=`);
    await pass(check, HOUR_MS);
    dns.publish('a.example', record('a.example'));
    await pass(check, HOUR_MS);
    await pass(check, HOUR_MS);
    await check.stop();
    assert.deepEqual(said, [`${NAME} mismatch`, `${NAME} mismatch`, `${NAME} well`]);
    assert.equal(keyring.keysFor('a.example').kind, 'keys', 'it goes on signing');
  });

  it('says only after three times that DNS gives no answer', async () => {
    const check = recheck();
    check.start();
    dns.fail(NAME, 'time-out');
    await pass(check, 2 * HOUR_MS, 8);
    assert.deepEqual(said, []);
    await pass(check, HOUR_MS);
    assert.deepEqual(said, [`${NAME} unknown`]);
    await check.stop();
  });

  it('asks no more about a key that was revoked meanwhile', async () => {
    const check = recheck();
    check.start();
    const domain = { domain: 'a.example', subdomains: false, keys: [] };
    await access.store.change(async () => ({ domain, result: 0 }));
    keyring = await loadKeyring(place);
    await pass(check, HOUR_MS);
    await check.stop();
    assert.ok(!dns.asked.includes(NAME));
  });

  it('has no more than eight look-ups under way when DNS is slow', async () => {
    for (let n = 0; n < 12; n += 1) await activate(`d${n}.example`);
    keyring = await loadKeyring(place);
    const answers: ((answer: TxtAnswer) => void)[] = [];
    const slow: TxtLookup = {
      txt: async () => await new Promise((resolve) => answers.push(resolve)),
    };
    const check = recheck(slow);
    check.start();
    clock.advance(HOUR_MS);
    assert.equal(answers.length, 8);
    const stopped = check.stop();
    for (const answer of answers) answer({ kind: 'absent' });
    await stopped;
    assert.deepEqual(said, []);
  }).timeout(60_000);
});
