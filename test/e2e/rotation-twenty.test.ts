import assert from 'node:assert/strict';
import { requirePeer } from '../support/peers.ts';
import { RotationLab, ZONE } from '../support/rotation-lab.ts';
import { zoneHistory } from '../support/zone-history.ts';

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
});
