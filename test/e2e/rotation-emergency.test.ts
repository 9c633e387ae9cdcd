import assert from 'node:assert/strict';
import type { ManifestKey } from '../../src/keys/manifest.ts';
import type { Ended } from '../support/cli-place.ts';
import { requirePeer } from '../support/peers.ts';
import { type KillPoint, RotationLab, ZONE } from '../support/rotation-lab.ts';
import { RotationRelay, SINK_ZONE } from '../support/rotation-relay.ts';
import { stallingProxy } from '../support/stalling-proxy.ts';
import { waitFor } from '../support/wait-for.ts';
import { zoneTexts } from '../support/zone-history.ts';

/** So long caches may hold that there is no such record, and a rotation waits. */
const NEGATIVE_TTL_S = 60;
const DEFERRED = /^451 4\.7\.5 /;

/** Commands and a relay as processes, keys in the in-repo KMS, records in a real BIND. */
describe('emergency and rollback, with a running relay, KMS and a real BIND', function () {
  this.timeout(120_000);
  let lab: RotationLab;
  let dig: string;
  let relay: RotationRelay;

  before(async function () {
    dig = requirePeer(this, 'dig');
    const named = requirePeer(this, 'named');
    lab = await RotationLab.start(named, { ttlS: NEGATIVE_TTL_S }, SINK_ZONE);
    relay = await RotationRelay.make(lab);
  });
  after(async () => {
    await relay?.stop();
    await lab?.stop();
  });

  const keys = async (...args: readonly string[]): Promise<Ended> =>
    await lab.place.run(['keys', ...args]);
  const keysOf = async (domain: string) => (await lab.place.entry(domain)).keys;
  const inState = async (domain: string, state: ManifestKey['state']): Promise<string> => {
    const names = (await keysOf(domain)).filter((key) => key.state === state);
    return names.map(({ selector }) => selector).join(' ');
  };
  const records = async (domain: string): Promise<Record<string, string>> =>
    Object.fromEntries(
      (await zoneTexts(dig, lab.bind.port, ZONE))
        .filter(({ name }) => name.endsWith(`._domainkey.${domain}`))
        .map(({ name, value }) => [name.split('.')[0], value]),
    );

  /** Takes a domain's next keys to `active`, without waiting for caches. @returns their selectors */
  async function rotated(domain: string, ...options: readonly string[]): Promise<string> {
    const waiting = await keys('rotate', domain, '--step', ...options);
    assert.equal(waiting.code, 4, waiting.stderr);
    await lab.age(domain, 'settledAt', 1);
    const done = await keys('rotate', domain, '--step');
    assert.equal(done.code, 0, done.stderr);
    return await inState(domain, 'active');
  }

  /** When the journal says that it began. */
  async function begunMs(domain: string): Promise<number> {
    const entry = (await lab.place.journal(domain)).find(
      ({ event }) => event === 'emergency-begun',
    );
    return Date.parse(entry?.at ?? '');
  }

  it('stops a rotation that waits for DNS, and the relay within 5 seconds', async () => {
    const domain = `waits.${ZONE}`;
    const old = await rotated(domain, '--backend', 'kms-sign');
    await lab.age(domain, 'activatedAt', 200);
    await relay.serving(async () => {
      const mail = relay.mailOf(domain);
      await waitFor('mail', () => mail.sent.length > 2);
      const rotation = lab.place.start(['keys', 'rotate', domain]);
      await rotation.says(/waiting, next look .*caches may still hold an older answer/);
      const emergency = await keys('emergency', domain, '--reason', 'host mail3 was broken into');
      assert.equal(emergency.code, 0, emergency.stderr);
      for (const words of [
        /mail under way that was signed with \S+, \S+ will fail DKIM/,
        /forgeries made with the key still pass .* for up to 3600 seconds/,
        /answered 451 until a new key is active: "waxseal keys rotate waits\.example\.test"/,
      ]) {
        assert.match(emergency.stdout, words);
      }
      await waitFor('the relay to stop', () => DEFERRED.test(mail.sent.at(-1)?.reply ?? ''));
      const stopped = await rotation.ended;
      await mail.stop();

      const accepted = mail.sent.filter(({ reply }) => reply.startsWith('250'));
      for (const { signedBy } of accepted) assert.equal(signedBy, old);
      const refused = mail.sent.slice(accepted.length);
      for (const { reply } of refused) assert.match(reply, DEFERRED);
      const lastMs = accepted.at(-1)?.atMs ?? 0;
      assert.ok(lastMs - (await begunMs(domain)) < 5000, 'it signed for longer than 5 seconds');

      assert.equal(stopped.code, 3, stopped.stderr);
      assert.match(
        stopped.stderr,
        /rotate not done: \S+ declared an emergency at \S+, because: host mail3 was broken into; this rotation stops\nhint: .*"waxseal keys rotate waits\.example\.test" goes on with the new keys/,
      );
      assert.equal(await inState(domain, 'active'), '', 'nothing signs');
      assert.equal(await inState(domain, 'revoked'), old);
      const values = await records(domain);
      for (const selector of old.split(' ')) assert.match(values[selector] ?? '', /; p=$/);
      const states = lab.signingKeys.filter((key) => key.domain === domain);
      assert.deepEqual(
        states.map(({ selector, state }) => [old.split(' ').includes(selector), state]),
        [
          [true, 'Disabled'],
          [true, 'Disabled'],
          [false, 'Enabled'],
          [false, 'Enabled'],
        ],
      );

      // What it told to do: the same keys go on.
      const fresh = await inState(domain, 'published');
      await lab.age(domain, 'settledAt', 1);
      const again = await keys('rotate', domain);
      assert.equal(again.code, 0, again.stderr);
      assert.equal(await inState(domain, 'active'), fresh);
      const after = relay.mailOf(domain);
      await waitFor('the new keys', () => after.sent.at(-1)?.signedBy === fresh);
      await after.stop();
    });
  });

  it('lets the relay switch to the standby, and no message waits', async () => {
    const domain = `ready.${ZONE}`;
    const old = await rotated(domain, '--backend', 'kms-envelope');
    await lab.place.configure(lab.settings({ authLagMs: 0, standby: true }));
    assert.equal((await keys('rotate', '--due', '--step')).code, 0);
    await lab.age(domain, 'settledAt', 1);
    const due = await keys('rotate', '--due', '--step');
    await lab.place.configure(lab.settings());
    const standby = await inState(domain, 'verified');
    assert.equal(standby.split(' ').length, 2, due.stderr);
    await relay.serving(async () => {
      const mail = relay.mailOf(domain);
      await waitFor('mail', () => mail.sent.length > 2);
      const emergency = await keys('emergency', domain, '--reason', 'exercise');
      assert.equal(emergency.code, 0, emergency.stderr);
      assert.match(emergency.stdout, /signs with \S+, \S+ now \(the standby\)/);
      await waitFor('the standby', () => mail.sent.at(-1)?.signedBy === standby);
      await mail.stop();
      for (const { reply } of mail.sent) assert.match(reply, /^250 /);
      const byOld = mail.sent.findLastIndex(({ signedBy }) => signedBy === old);
      assert.ok((mail.sent[byOld]?.atMs ?? 0) - (await begunMs(domain)) < 5000);
      const later = new Set(mail.sent.slice(byOld + 1).map(({ signedBy }) => signedBy));
      assert.deepEqual([...later], [standby], 'the whole set changes together');
    });
    for (const selector of old.split(' ')) {
      assert.match((await records(domain))[selector] ?? '', /; p=$/);
    }
  });

  it('takes the domain away from a rotation in the middle of a step', async () => {
    const domain = `busy.${ZONE}`;
    const old = await rotated(domain, '--backend', 'kms-sign');
    await lab.age(domain, 'activatedAt', 200);
    const { promise: isBusy, resolve } = Promise.withResolvers<void>();
    const isSuch = (octets: Buffer) => octets.includes('TrentService.CreateKey\r\n');
    const point = { isSuch, nth: 1, when: 'after' } as const;
    const port = Number(new URL(lab.kms.region().url).port);
    const proxy = await stallingProxy(port, point, resolve);
    try {
      const endpoint = `eu-central-1=http://127.0.0.1:${proxy.port}`;
      const rotation = lab.place.start(['keys', 'rotate', domain], {
        env: { WAXSEAL_KMS_ENDPOINTS: endpoint, WAXSEAL_KMS_ATTEMPT_TIMEOUT_MS: '60000' },
      });
      await isBusy; // it has the lease, and waits for an answer that never comes
      const emergency = await keys('emergency', domain, '--reason', 'stolen');
      assert.equal(emergency.code, 0, emergency.stderr);
      assert.equal(await inState(domain, 'revoked'), old);
      proxy.cut();
      const stopped = await rotation.ended;
      assert.equal(stopped.code, 3, stopped.stderr);
      assert.match(stopped.stderr, /declared an emergency at \S+, because: stolen/);
      assert.equal((await keysOf(domain)).length, 2, 'it wrote nothing any more');
    } finally {
      await proxy.close();
    }
    // The key that it made is known by its intent, and the next run takes it.
    const again = await keys('rotate', domain, '--step');
    assert.equal(again.code, 4, again.stderr);
    const orphans = await keys('orphans');
    assert.deepEqual(
      [orphans.code, orphans.stdout],
      [0, 'the keyring knows every private key (back ends asked: kms-sign, kms-envelope)\n'],
    );
  });

  it('disables the keys though DNS cannot be written, says so, and goes on where it stopped', async () => {
    const domain = `nodns.${ZONE}`;
    await rotated(domain, '--backend', 'kms-sign');
    const args = ['keys', 'emergency', domain, '--reason', 'stolen'];
    const nobody = { WAXSEAL_PUBLISHERS: JSON.stringify([lab.publisher(1)]) };
    const failed = await lab.place.run(args, { env: nobody });
    assert.equal(failed.code, 1, failed.stderr);
    assert.match(failed.stderr, /emergency failed: 127\.0\.0\.1 port 1: .*ECONNREFUSED/);
    assert.match(failed.stderr, /hint: look whether the server runs/);
    assert.match(failed.stdout, /forgeries made with the key still pass/);
    const inKms = () => lab.signingKeys.filter((key) => key.domain === domain);
    assert.deepEqual(
      inKms().map(({ state }) => state),
      ['Disabled', 'Disabled'],
    );
    const again = await lab.place.run(args);
    assert.equal(again.code, 0, again.stderr);
    for (const value of Object.values(await records(domain))) assert.match(value, /; p=$/);
    const third = await lab.place.run(args);
    assert.equal(third.code, 3, third.stdout);
    assert.match(third.stderr, /the emergency of nodns\.example\.test was carried out at/);
  });

  it('killed anywhere and said again, it ends in the same state', async () => {
    const points: readonly KillPoint[] = [
      { kind: 'disk', nth: 3 },
      { kind: 'dns', nth: 3, when: 'after' },
      { kind: 'kms', operation: 'DisableKey', nth: 1, when: 'after' },
    ];
    const ends = await Promise.all(
      points.map(async (point, index) => {
        const domain = `killed${index}.${ZONE}`;
        const old = await rotated(domain, '--backend', 'kms-sign');
        const args = ['keys', 'emergency', domain, '--reason', 'stolen'];
        const { signal } = await lab.killed(args, point);
        assert.equal(signal, 'SIGKILL', JSON.stringify(point));
        const again = await lab.place.run(args);
        assert.equal(again.code, 0, again.stderr);
        return { domain, old };
      }),
    );
    for (const { domain, old } of ends) {
      const now = await keysOf(domain);
      assert.deepEqual(
        now.map(({ state, revokedAt }) => [state, revokedAt !== undefined]),
        [
          ['revoked', true],
          ['revoked', true],
        ],
      );
      assert.equal(
        Object.values(await records(domain))
          .join(' ')
          .match(/p=( |$)/g)?.length,
        2,
      );
      const states = lab.signingKeys.filter((key) => key.domain === domain);
      assert.deepEqual(
        states.map(({ selector, state }) => `${selector} ${state}`),
        old.split(' ').map((selector) => `${selector} Disabled`),
      );
    }
  });

  it('rollback: the old keys sign again, and their records must be there', async () => {
    const domain = `back.${ZONE}`;
    const old = await rotated(domain, '--backend', 'kms-envelope');
    await lab.age(domain, 'activatedAt', 200);
    const fresh = await rotated(domain);
    assert.notEqual(fresh, old);
    await relay.serving(async () => {
      const mail = relay.mailOf(domain);
      await waitFor('mail', () => mail.sent.at(-1)?.signedBy === fresh);
      const back = await keys('rollback', domain, '--reason', 'a receiver rejects it');
      assert.equal(back.code, 0, back.stderr);
      assert.match(back.stdout, /: active again\n/);
      await waitFor('the old keys', () => mail.sent.at(-1)?.signedBy === old);
      await mail.stop();
      for (const { reply } of mail.sent) assert.match(reply, /^250 /);
    });
    assert.equal(await inState(domain, 'retiring'), fresh);
    assert.equal(Object.keys(await records(domain)).length, 4, 'no record was touched');
    const again = await keys('rollback', domain, '--reason', 'once more');
    assert.deepEqual([again.code, await inState(domain, 'active')], [0, old]);
    assert.match(again.stdout, /nothing to do/);

    // Forward again; then somebody removes an old record, and there is no way back.
    await lab.age(domain, 'activatedAt', 200);
    const third = await rotated(domain, '--again');
    const [selector = ''] = old.split(' ');
    const name = `${selector}._domainkey.${domain}`;
    const before = { value: (await records(domain))[selector] ?? '', ttlS: 3600 };
    await lab.changeRecord({ name, ttlS: 3600, before, after: undefined });
    const refused = await keys('rollback', domain, '--reason', 'too late');
    assert.equal(refused.code, 3, refused.stdout);
    assert.ok(
      refused.stderr.includes(`not rolled back: ${name}: ns.example.test (127.0.0.1): absent`),
    );
    assert.match(refused.stderr, /hint: put the record back into DNS, or say --force/);
    assert.equal(await inState(domain, 'active'), third);
  });
});
