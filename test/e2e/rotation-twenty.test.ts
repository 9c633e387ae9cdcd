import assert from 'node:assert/strict';
import { requirePeer } from '../support/peers.ts';
import { RotationLab, ZONE } from '../support/rotation-lab.ts';
import { zoneHistory } from '../support/zone-history.ts';

/** Scheduled jobs at the same time. */
const JOBS = 5;

/** As after a scheduled job that piled up, or with one in each replica. */
describe('twenty rotations at once, with KMS and a real BIND', function () {
  this.timeout(300_000);
  let lab: RotationLab;
  let dig: string;

  before(async function () {
    dig = requirePeer(this, 'dig');
    lab = await RotationLab.start(requirePeer(this, 'named'));
  });
  after(() => lab?.stop());

  it('do the work once, and each ends well', async () => {
    const domain = `twenty.${ZONE}`;
    const args = ['keys', 'rotate', domain, '--backend', 'kms-sign'];
    const runs = await Promise.all(Array.from({ length: 20 }, () => lab.place.run(args)));
    for (const { code, stderr } of runs) assert.equal(code, 0, stderr);
    const { keys } = await lab.place.entry(domain);
    assert.deepEqual(
      keys.map(({ algorithm, state }) => `${algorithm} ${state}`),
      ['rsa2048 active', 'ed25519 active'],
    );
    assert.equal(lab.signingKeys.length, 2);
    const changes = (await zoneHistory(dig, lab.bind.port, ZONE)).filter(({ name }) =>
      name.endsWith(`.${domain}`),
    );
    assert.deepEqual(
      changes.map(({ kind, name }) => `${kind} ${name}`).sort(),
      keys.map(({ selector }) => `added ${selector}._domainkey.${domain}`).sort(),
    );
    const journal = await lab.place.journal(domain);
    for (const event of [
      'key-intended',
      'key-created',
      'record-written',
      'published',
      'activated',
    ]) {
      assert.equal(journal.filter((entry) => entry.event === event).length, 2, event);
    }
    const orphans = await lab.place.run(['keys', 'orphans']);
    assert.equal(orphans.code, 0, orphans.stdout);
  });

  it('so do scheduled jobs that meet, from the next keys to the end of the old ones', async () => {
    const domain = `jobs.${ZONE}`;
    const begun = await lab.place.run(['keys', 'rotate', domain, '--backend', 'kms-sign']);
    assert.equal(begun.code, 0, begun.stderr);
    const made = (operation: string) => lab.kms.count(operation);
    const before = { made: made('CreateKey'), ended: made('ScheduleKeyDeletion') };
    for (const [field, days, events] of [
      ['activatedAt', 200, { 'key-created': 4, published: 4, activated: 4, retiring: 2 }],
      ['retiringSince', 10, { revoking: 2, revoked: 2 }],
      ['revokedAt', 31, { destroying: 2, destroyed: 2 }],
    ] as const) {
      await lab.age(domain, field, days);
      const job = () => lab.place.run(['keys', 'rotate', '--due', '--step']);
      const runs = await Promise.all(Array.from({ length: JOBS }, job));
      for (const { code, stderr } of runs) assert.equal(code, 0, stderr);
      const journal = await lab.place.journal(domain);
      for (const [event, count] of Object.entries(events)) {
        assert.equal(journal.filter((entry) => entry.event === event).length, count, event);
      }
    }
    assert.equal(made('CreateKey') - before.made, 2);
    assert.equal(made('ScheduleKeyDeletion') - before.ended, 2);
    const { keys } = await lab.place.entry(domain);
    assert.deepEqual(
      keys.map(({ state }) => state),
      ['destroyed', 'destroyed', 'active', 'active'],
    );
    const changes = (await zoneHistory(dig, lab.bind.port, ZONE)).filter(({ name }) =>
      name.endsWith(`.${domain}`),
    );
    // Four keys came, two became empty, and those went.
    assert.deepEqual(
      ['added', 'removed'].map((kind) => changes.filter((one) => one.kind === kind).length),
      [6, 4],
    );
  });
});
