import assert from 'node:assert/strict';
import type { ManifestKey } from '../../src/keys/manifest.ts';
import { FileReports } from '../../src/keys/store/relay-reports.ts';
import type { Ended } from '../support/cli-place.ts';
import { requirePeer } from '../support/peers.ts';
import { RotationLab, ZONE } from '../support/rotation-lab.ts';
import { RotationRelay, SINK_ZONE } from '../support/rotation-relay.ts';
import { waitFor } from '../support/wait-for.ts';

/**
 * Permissions for a new key spread slowly: "as long as five minutes" for tags in policies
 * (https://docs.aws.amazon.com/kms/latest/developerguide/tag-authorization.html). A minute is a
 * second here, by `keys.rotation.authLagMs` and the age at which the in-repo KMS lets a key sign.
 */
const MINUTE_MS = 1000;

describe('a rotation whose new keys are denied for the first minutes', function () {
  this.timeout(120_000);
  let lab: RotationLab;

  before(async function () {
    lab = await RotationLab.start(requirePeer(this, 'named'), {}, SINK_ZONE);
  });
  after(() => lab?.stop());
  afterEach(() => {
    lab.kms.conditions.length = 0;
    lab.kms.calls.length = 0;
  });

  const rotate = (domain: string, ...options: readonly string[]): Promise<Ended> =>
    lab.place.run(['keys', 'rotate', domain, '--backend', 'kms-sign', ...options]);
  const keysOf = async (domain: string) => (await lab.place.entry(domain)).keys;
  const inState = async (domain: string, state: ManifestKey['state']): Promise<string> =>
    (await keysOf(domain)).flatMap((key) => (key.state === state ? [key.selector] : [])).join(' ');

  /** Denies operations on signing keys as long as `isDenied` says. */
  function deny(operations: readonly string[], isDenied: (createdMs: number) => boolean): void {
    lab.kms.conditions.push(
      ({ operation, key }) =>
        !operations.includes(operation) || key === undefined || !isDenied(key.createdMs),
    );
  }
  const denials = () => lab.kms.calls.filter(({ error }) => error === 'AccessDeniedException');

  it('waits authLag where no relay reports, and nobody tries the keys too early', async () => {
    await lab.place.configure(lab.settings({ authLagMs: 5 * MINUTE_MS }));
    deny(['Sign'], (createdMs) => Date.now() - createdMs < 3 * MINUTE_MS);
    const domain = `lag.${ZONE}`;
    const done = await rotate(domain);
    assert.equal(done.code, 0, done.stderr);
    assert.match(
      done.stderr,
      /waiting, next look .*not all relays report that they can use the keys yet, and permissions spread slowly/,
    );
    assert.equal((await inState(domain, 'active')).split(' ').length, 2);
    assert.deepEqual(denials(), []);
    assert.equal(lab.kms.count('Sign'), 2, 'each key was tried here');
  });

  it('does not activate what cannot sign here, and says what to do', async () => {
    await lab.place.configure(lab.settings());
    let isDenied = true;
    deny(['Sign'], () => isDenied);
    const domain = `early.${ZONE}`;
    const failed = await rotate(domain, '--step');
    assert.equal(failed.code, 1, failed.stderr);
    assert.match(
      failed.stderr,
      /activate failed: .*not authorized to perform: kms:Sign.*\nhint: no relay reports that it can use the key, and here it cannot be tried: run it with credentials that may sign, or say --force/,
    );
    const waiting = await inState(domain, 'verified');
    assert.equal(waiting.split(' ').length, 2);
    isDenied = false;
    const done = await rotate(domain, '--step');
    assert.equal(done.code, 0, done.stderr);
    assert.equal(await inState(domain, 'active'), waiting, 'the same keys');
  });

  it('makes no second key after a kill, where it may not read the tags of keys', async () => {
    await lab.place.configure(lab.settings());
    const domain = `tags.${ZONE}`;
    const made = () => lab.signingKeys.filter((key) => key.domain === domain).length;
    const args = ['keys', 'rotate', domain, '--backend', 'kms-sign', '--step'];
    const point = { kind: 'kms', operation: 'CreateKey', nth: 1, when: 'after' } as const;
    const killed = await lab.killed(args, point);
    assert.equal(killed.signal, 'SIGKILL', killed.stderr);
    await waitFor('the key', () => made() === 1);
    let isDenied = true;
    deny(['ListResourceTags'], () => isDenied);
    for (let turn = 0; turn < 2; turn += 1) {
      const refused = await rotate(domain, '--step');
      assert.equal(refused.code, 3, refused.stderr);
      assert.match(
        refused.stderr,
        /create not done: .*kms:ListResourceTags is denied.*may have been made before: no second one is made\nhint: grant kms:ListResourceTags /,
      );
      assert.equal(made(), 1);
    }
    isDenied = false;
    const done = await rotate(domain, '--step');
    assert.equal(done.code, 0, done.stderr);
    assert.equal((await inState(domain, 'active')).split(' ').length, 2);
    assert.equal(made(), 2, 'one of each kind');
  });

  it('makes no second key where even its public half is denied', async () => {
    await lab.place.configure(lab.settings());
    let isDenied = true;
    deny(['DescribeKey', 'GetPublicKey', 'Sign'], () => isDenied);
    const domain = `blind.${ZONE}`;
    const failed = await rotate(domain, '--step');
    assert.equal(failed.code, 1, failed.stderr);
    assert.match(failed.stderr, /create failed: .*kms:DescribeKey.*\nhint: see the policies/);
    isDenied = false;
    const done = await rotate(domain, '--step');
    assert.equal(done.code, 0, done.stderr);
    const made = lab.signingKeys.filter((key) => key.domain === domain);
    assert.deepEqual(
      made.map(({ selector }) => selector).join(' '),
      await inState(domain, 'active'),
    );
    const orphans = await lab.place.run(['keys', 'orphans']);
    assert.equal(orphans.code, 0, orphans.stdout);
  });

  /** Waits until the relay has tried both new keys. */
  async function reported(domain: string, usable: boolean): Promise<void> {
    await waitFor(
      `a report of the relay (${usable})`,
      async () => {
        const [report] = await new FileReports(lab.place.keysDir).read();
        const tried = (report?.keys ?? []).filter((key) => key.domain === domain);
        return tried.length === 2 && tried.every((key) => key.usable === usable);
      },
      30_000,
    );
  }

  it('is held by a relay that is denied, while mail is signed by the old keys', async () => {
    await lab.place.configure(lab.settings());
    const domain = `relay.${ZONE}`;
    assert.equal((await rotate(domain, '--step')).code, 0);
    const old = await inState(domain, 'active');
    await lab.age(domain, 'activatedAt', 200);
    await lab.place.configure(lab.settings({ authLagMs: 300_000 }));
    const relay = await RotationRelay.make(lab);
    try {
      await relay.serving(async () => {
        const since = Date.now();
        let isDenied = true;
        deny(['Sign'], (createdMs) => createdMs > since && isDenied);
        const mail = relay.mailOf(domain);
        const begun = await rotate(domain, '--step');
        assert.equal(begun.code, 4, begun.stderr);
        await reported(domain, false);
        const held = await rotate(domain, '--step');
        assert.equal(held.code, 4, held.stderr);
        assert.match(
          held.stdout,
          /next: .*activate .*: a relay cannot use the new keys yet: \S+: \S+ .*not authorized/,
        );
        isDenied = false;
        await reported(domain, true);
        const done = await rotate(domain, '--step');
        assert.equal(done.code, 0, done.stderr);
        const fresh = await inState(domain, 'active');
        await waitFor('the new keys', () => mail.sent.at(-1)?.signedBy === fresh);
        await mail.stop();
        for (const { reply } of mail.sent) assert.match(reply, /^250 /);
        const signers = new Set(mail.sent.map(({ signedBy }) => signedBy));
        assert.deepEqual([...signers], [old, fresh]);
      });
    } finally {
      await relay.stop();
    }
  });
});
