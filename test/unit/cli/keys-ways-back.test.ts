import assert from 'node:assert/strict';
import { CommanderError } from 'commander';
import type { RotationSetting } from '../../../src/config/config.ts';
import { recordName } from '../../../src/keys/key-name.ts';
import { KeysError } from '../../../src/keys/keys-error.ts';
import { underLease } from '../../../src/keys/lifecycle/leased-domain.ts';
import { DAY_MS } from '../../../src/keys/lifecycle/policy.ts';
import { habits, runKeys } from '../../support/lifecycle-cli.ts';
import { LifecycleLab } from '../../support/lifecycle-lab.ts';
import type { Ran } from '../../support/run-keys.ts';

describe('keys commands that go back', () => {
  let lab: LifecycleLab;
  let rotation: RotationSetting | undefined;

  beforeEach(() => {
    lab = new LifecycleLab();
    rotation = undefined;
  });

  const keys = async (...args: readonly string[]) => await runKeys(lab, rotation, args);
  const name = (selector: string) => recordName(selector, 'example.com');

  it('a scheduled destruction can be taken back, and begins anew', async () => {
    lab.destroyScheduled = true;
    await keys('rotate', 'example.com');
    await keys('emergency', 'example.com', '--reason', 'lost');
    lab.clock.advance(30 * DAY_MS);
    const destroyed = await keys('destroy', 'example.com', '--reason', 'old');
    assert.match(destroyed.out, /can be taken back until 2027-01-01/);
    const back = await keys('cancel-destroy', 'example.com', '--selector', 'wx202611r1');
    assert.equal(back.code, 0, back.err);
    assert.equal(lab.states().wx202611r1, 'revoked');
    assert.equal(lab.zone.get(name('wx202611r1'))?.value, 'v=DKIM1; k=rsa; p=');
    assert.equal((await keys('destroy', 'example.com', '--reason', 'old')).code, 4);
  });

  it('rollback takes the whole set back, and said twice changes nothing', async () => {
    await keys('rotate', 'example.com');
    lab.clock.advance(2 * DAY_MS);
    await keys('rotate', 'example.com');
    await assert.rejects(keys('rollback', 'example.com'), CommanderError);
    const done = await keys('rollback', 'example.com', '--reason', 'signatures fail');
    assert.equal(done.code, 0, done.err);
    const states = {
      wx202611r1: 'active',
      wx202611e1: 'active',
      wx202611r2: 'retiring',
      wx202611e2: 'retiring',
    };
    assert.deepEqual(lab.states(), states);
    const twice = await keys('rollback', 'example.com', '--reason', 'again');
    assert.equal(twice.code, 0);
    assert.match(twice.out, /nothing to do/);
    assert.deepEqual(lab.states(), states);
  });

  it('rollback is refused when DNS does not show the old record any more', async () => {
    await keys('rotate', 'example.com');
    lab.clock.advance(2 * DAY_MS);
    await keys('rotate', 'example.com');
    lab.hidden.add(name('wx202611r1'));
    const refused = await keys('rollback', 'example.com', '--reason', 'x');
    assert.equal(refused.code, 3);
    assert.match(refused.err, /not rolled back: wx202611r1\._domainkey\.example\.com: .*absent/);
    assert.equal(lab.states().wx202611r1, 'retiring');
  });

  it('abort gives up what was never active, and touches nothing else', async () => {
    await keys('rotate', 'example.com');
    lab.clock.advance(2 * DAY_MS);
    lab.settleMs = 1000;
    await keys('rotate', 'example.com', '--step');
    const done = await keys('abort', 'example.com');
    assert.equal(done.code, 0, done.err);
    assert.deepEqual(lab.states(), {
      wx202611r1: 'active',
      wx202611e1: 'active',
      wx202611r2: 'destroyed',
      wx202611e2: 'destroyed',
    });
    assert.equal(lab.zone.size, 2);
    assert.match((await keys('rotate', '--due', '--step')).out, /^0 domain/);
    assert.match((await keys('abort', 'example.com')).out, /nothing to do/);
  });

  it('emergency switches to the standby, and says what nobody can prevent', async () => {
    rotation = { ...habits, standby: true };
    await keys('rotate', 'example.com', '--step');
    await keys('rotate', '--due', '--step');
    assert.equal(lab.states().wx202611r2, 'verified');
    await assert.rejects(keys('emergency', 'example.com'), CommanderError);
    const done = await keys('emergency', 'example.com', '--reason', 'stolen');
    assert.equal(done.code, 0, done.err);
    assert.deepEqual(lab.states(), {
      wx202611r1: 'revoked',
      wx202611e1: 'revoked',
      wx202611r2: 'active',
      wx202611e2: 'active',
    });
    assert.match(done.out, /mail under way that was signed with wx202611r1, wx202611e1 will fail/);
    assert.match(done.out, /for up to 3600 seconds/);
    assert.match(done.out, /signs with wx202611r2, wx202611e2 now \(the standby\)/);
    assert.equal(lab.zone.get(name('wx202611r1'))?.value, 'v=DKIM1; k=rsa; p=');
    assert.deepEqual(
      [...lab.keys.values()].map(({ state }) => state),
      ['disabled', 'disabled', 'live', 'live'],
    );
    const twice = await keys('emergency', 'example.com', '--reason', 'stolen');
    assert.equal(twice.code, 3);
    assert.match(twice.err, /carried out at .*\nhint: .*--selector/);
  });

  it('emergency stops a rotation that waits for DNS, and says why', async () => {
    await keys('rotate', 'example.com');
    lab.clock.advance(2 * DAY_MS);
    lab.settleMs = 3_600_000;
    let emergency: Ran | undefined;
    lab.sleep = async (ms) => {
      lab.clock.advance(ms);
      emergency ??= await keys('emergency', 'example.com', '--reason', 'stolen');
    };
    const rotation = await keys('rotate', 'example.com');
    assert.equal(emergency?.code, 0, emergency?.err);
    assert.equal(rotation.code, 3, rotation.out);
    assert.match(
      rotation.err,
      /tester declared an emergency at 2026-\S+, because: stolen; this rotation/,
    );
    assert.match(rotation.err, /hint: once it is over, "waxseal keys rotate example\.com"/);
    assert.deepEqual(Object.values(lab.states()), ['revoked', 'revoked', 'published', 'published']);
    // An emergency that is over stops nobody.
    assert.equal((await keys('rotate', 'example.com')).code, 0);
    assert.deepEqual(Object.values(lab.states()), ['revoked', 'revoked', 'active', 'active']);
  });

  it('abort stops a rotation that waits for DNS', async () => {
    lab.hidden.add(name('wx202611r1'));
    let abort: Ran | undefined;
    lab.sleep = async (ms) => {
      lab.clock.advance(ms);
      abort ??= await keys('abort', 'example.com');
    };
    const rotation = await keys('rotate', 'example.com');
    assert.equal(abort?.code, 0, abort?.err);
    assert.equal(rotation.code, 3, rotation.err);
    assert.match(rotation.err, /tester gave its new keys up at 2026-\S+; this rotation stops/);
    assert.deepEqual(lab.states(), { wx202611r1: 'destroyed', wx202611e1: 'destroyed' });
  });

  it('emergency and abort stop a command that waits for DNS in verify', async () => {
    const stolen = ['emergency', '--reason', 'stolen', '--selector', 'wx202611e1'];
    for (const [index, args] of [stolen, ['abort']].entries()) {
      const domain = `d${index}.example`;
      const [command = '', ...options] = args;
      assert.equal((await keys('create', domain)).code, 0);
      assert.equal((await keys('publish', domain)).code, 0);
      lab.settleMs = 3_600_000; // one long wait
      let other: Ran | undefined;
      lab.sleep = async (ms) => {
        lab.clock.advance(ms);
        other ??= await keys(command, domain, ...options);
      };
      const startMs = lab.clock.wallMs();
      const verify = await keys('verify', domain, '--timeout', '4h');
      assert.equal(other?.code, 0, other?.err);
      assert.equal(verify.code, 3, verify.out);
      assert.match(verify.err, /tester (declared an emergency|gave its new keys up) at 2026-/);
      assert.match(verify.err, /this verify stops/);
      assert.ok(lab.clock.wallMs() - startMs < 60_000, 'at the next look');
    }
  });

  it('emergency and abort of other keys do not stop it', async () => {
    await keys('rotate', 'example.com', '--algorithm', 'rsa2048');
    lab.clock.advance(2 * DAY_MS);
    await keys('create', 'example.com');
    await keys('publish', 'example.com');
    lab.hidden.add(name('wx202611r2'));
    const meanwhile = [
      ['emergency', '--reason', 'stolen'],
      ['abort', '--selector', 'wx202611e1'],
    ];
    lab.sleep = async (ms) => {
      lab.clock.advance(ms);
      const [command, ...options] = meanwhile.shift() ?? [];
      if (command === undefined) lab.hidden.clear();
      else assert.equal((await keys(command, 'example.com', ...options)).code, 0);
    };
    const verify = await keys('verify', 'example.com', '--selector', 'wx202611r2');
    assert.equal(verify.code, 0, verify.err);
    assert.equal(lab.states().wx202611r2, 'verified');
  });

  it('emergency without a standby leaves mail deferred; a failure is taken up again', async () => {
    await keys('rotate', 'example.com');
    lab.publisherFails = true;
    const failed = await keys('emergency', 'example.com', '--reason', 'stolen');
    assert.equal(failed.code, 1);
    assert.match(failed.out, /mail of example\.com is answered 451 until/);
    assert.deepEqual(lab.states(), { wx202611r1: 'revoked', wx202611e1: 'revoked' });
    assert.ok([...lab.keys.values()].every(({ state }) => state === 'disabled'));
    lab.publisherFails = false;
    const done = await keys('emergency', 'example.com', '--reason', 'stolen');
    assert.equal(done.code, 0, done.err);
    assert.equal(lab.zone.get(name('wx202611e1'))?.value, 'v=DKIM1; k=ed25519; p=');
  });

  it('emergency withdraws one key though a foreign record stands in the way of another', async () => {
    await keys('rotate', 'example.com');
    lab.zone.set(name('wx202611r1'), { value: 'v=DKIM1; p=foreign', ttlS: 60 });
    const done = await keys('emergency', 'example.com', '--reason', 'x');
    assert.equal(done.code, 3, done.out);
    assert.match(done.err, /did not write: v=DKIM1; p=foreign/);
    assert.equal(lab.zone.get(name('wx202611r1'))?.ttlS, 60);
    assert.equal(lab.zone.get(name('wx202611e1'))?.value, 'v=DKIM1; k=ed25519; p=');
  });

  it('emergency --dry-run leaves out what was withdrawn long ago', async () => {
    await keys('rotate', 'example.com', '--algorithm', 'rsa2048');
    lab.clock.advance(2 * DAY_MS);
    await keys('rotate', 'example.com');
    lab.clock.advance(9 * DAY_MS);
    await keys('revoke', 'example.com');
    const planned = await keys('emergency', 'example.com', '--reason', 'exercise', '--dry-run');
    assert.match(planned.out, /^example\.com: wx202611r2: would be done: .*\n$/);
  });

  it('rotate makes keys like those that an emergency ended', async () => {
    await keys('rotate', 'example.com', '--algorithm', 'rsa4096');
    await keys('emergency', 'example.com', '--reason', 'x');
    lab.clock.advance(DAY_MS);
    await keys('rotate', 'example.com');
    const made = lab.entry().keys.map(({ algorithm, state }) => `${algorithm} ${state}`);
    assert.deepEqual(made, ['rsa4096 revoked', 'rsa4096 active']);
  });

  it('emergency says what DNS does not show yet, and looks again when it is said again', async () => {
    await keys('rotate', 'example.com');
    lab.hidden.add(name('wx202611r1'));
    const slow = await keys('emergency', 'example.com', '--reason', 'stolen');
    assert.equal(slow.code, 4);
    assert.match(slow.err, /revoked and disabled, but not every server shows the withdrawal yet/);
    assert.match(slow.out, /forgeries made with the key still pass/);
    lab.hidden.clear();
    const seen = await keys('emergency', 'example.com', '--reason', 'stolen');
    assert.equal(seen.code, 0, seen.err);
    assert.notEqual(lab.entry().keys[0]?.revokedAt, undefined);
    assert.equal((await keys('emergency', 'example.com', '--reason', 'stolen')).code, 3);
  });

  it('emergency hands the records to a person who has to empty them: 3 until they are', async () => {
    await keys('rotate', 'example.com');
    lab.byHand = true;
    const open = await keys('emergency', 'example.com', '--reason', 'stolen');
    assert.equal(open.code, 3);
    assert.match(open.out, /wx202611r1\._domainkey\.example\.com TXT v=DKIM1; k=rsa; p=$/m);
    assert.match(
      open.err,
      /emptying their records is left to you: .*\nhint: put the records into DNS/,
    );
    for (const [type, family] of [
      ['r1', 'rsa'],
      ['e1', 'ed25519'],
    ] as const) {
      lab.zone.set(name(`wx202611${type}`), { value: `v=DKIM1; k=${family}; p=`, ttlS: 60 });
    }
    const done = await keys('emergency', 'example.com', '--reason', 'stolen');
    assert.equal(done.code, 0, done.err);
  });

  it('emergency said again for its records, hours later, leaves alone what took over', async () => {
    rotation = { ...habits, standby: true };
    await keys('rotate', 'example.com', '--algorithm', 'rsa2048');
    await keys('rotate', '--due', '--step');
    lab.byHand = true;
    const first = await keys('emergency', 'example.com', '--reason', 'stolen');
    assert.equal(first.code, 3, first.err);
    assert.equal(lab.states().wx202611r2, 'active');
    lab.clock.advance(3 * 3_600_000);
    const again = await keys('emergency', 'example.com', '--reason', 'is it empty?');
    assert.equal(again.code, 3, again.err);
    lab.zone.set(name('wx202611r1'), { value: 'v=DKIM1; k=rsa; p=', ttlS: 60 });
    const last = await keys('emergency', 'example.com', '--reason', 'it is');
    assert.equal(last.code, 0, last.err);
    assert.equal(lab.states().wx202611r2, 'active');
    const later = await keys('emergency', 'example.com', '--reason', 'stolen too');
    assert.equal(later.code, 3, later.err);
    assert.equal(lab.states().wx202611r2, 'revoked');
  });

  it('revoke waits for a relay that still signs with the old key', async () => {
    await keys('rotate', 'example.com');
    lab.clock.advance(2 * DAY_MS);
    await keys('rotate', 'example.com');
    lab.clock.advance(9 * DAY_MS);
    const selector = 'wx202611r2';
    const now = (ms = 0) => new Date(lab.clock.wallMs() + ms).toISOString();
    lab.reports = [
      {
        ...{ relay: 'relay-2', host: 'relay-2', version: '1', startedAt: now(), at: now() },
        ...{ goodUntil: now(90_000), generation: 9, keysMore: 0 },
        keys: [{ domain: 'example.com', selector, usable: false, reason: 'AccessDenied' }],
      },
    ];
    const waiting = await keys('revoke', 'example.com', '--selector', 'wx202611r1');
    assert.equal(waiting.code, 4, waiting.err);
    assert.match(waiting.out + waiting.err, /still signs with wx202611r1.*relay-2: .*AccessDenied/);
    assert.equal(lab.states().wx202611r1, 'retiring');
    lab.reports = [];
    lab.clock.advance(3000);
    const done = await keys('revoke', 'example.com', '--selector', 'wx202611r1');
    assert.equal(done.code, 0, done.err);
    assert.equal(lab.states().wx202611r1, 'revoked');
  });

  it('emergency does not wait until another part of the keyring is mended', async () => {
    await keys('rotate', 'example.com');
    lab.broken = new KeysError('manifest-invalid', 'other.yaml: line 3: nonsense');
    const other = await keys('revoke', 'example.com', '--selector', 'wx202611r1');
    assert.equal(other.code, 1, 'no other command goes on');
    const done = await keys('emergency', 'example.com', '--reason', 'stolen');
    assert.equal(done.code, 0, done.err);
    assert.match(done.err, /other\.yaml: line 3: nonsense; example\.com is not in that part/);
    assert.deepEqual(lab.states(), { wx202611r1: 'revoked', wx202611e1: 'revoked' });
    assert.deepEqual(
      [...lab.keys.values()].map(({ state }) => state),
      ['disabled', 'disabled'],
    );
  });

  it('emergency names the other domains for which the key still counts', async () => {
    await keys('rotate', 'example.com');
    const [rsa] = lab.entry().keys;
    assert.ok(rsa !== undefined);
    lab.put({ domain: 'b.example', subdomains: false, keys: [{ ...rsa, selector: 'mail' }] });
    lab.put({ domain: 'c.example', subdomains: false, keys: [{ ...rsa, state: 'revoked' }] });
    const { out } = await keys('emergency', 'example.com', '--reason', 'stolen');
    assert.match(out, /active as mail of b\.example, .* keys emergency b\.example --selector mail/);
    assert.doesNotMatch(out, /c\.example/);
  });

  describe('emergency, when the switch to the standby fails,', () => {
    const withdrawn = () => lab.zone.get(name('wx202611r1'))?.value === 'v=DKIM1; k=rsa; p=';
    const keyStates = () => [...lab.keys.values()].map(({ state }) => state).join(' ');

    beforeEach(async () => {
      rotation = { ...habits, standby: true };
      await keys('rotate', 'example.com', '--step');
      await keys('rotate', '--due', '--step');
    });

    it('withdraws and disables the keys all the same', async () => {
      const seen = lab.seen.bind(lab);
      lab.seen = () => {
        throw new KeysError('keyring-unreadable', 'the store is down');
      };
      const failed = await keys('emergency', 'example.com', '--reason', 'stolen');
      assert.equal(failed.code, 1);
      assert.match(failed.err, /the store is down/);
      assert.ok(withdrawn());
      assert.equal(keyStates(), 'disabled disabled live live');
      lab.seen = seen;
      const again = await keys('emergency', 'example.com', '--reason', 'stolen');
      assert.equal(again.code, 0, again.err);
      assert.equal(lab.states().wx202611r2, 'active');
      assert.equal(lab.states().wx202611r1, 'revoked');
    });

    it('does so before it takes a lease again that ran out over a slow DNS', async () => {
      const seen = lab.seen.bind(lab);
      let looks = 0;
      lab.seen = (expectation) => {
        looks += 1;
        if (looks === 1) {
          // The rotation that waited for the lease has it now.
          const until = new Date(lab.clock.wallMs() + 60_000).toISOString();
          const lease = { holder: 'process 2.2 on elsewhere', fence: 1000, until };
          lab.put({ ...lab.entry(), lease });
        } else if (lab.states().wx202611r2 !== 'active' && looks > 2) {
          assert.ok(withdrawn());
          assert.equal(keyStates(), 'disabled disabled live live');
        }
        return seen(expectation);
      };
      const done = await keys('emergency', 'example.com', '--reason', 'stolen');
      assert.equal(done.code, 0, done.err);
      assert.ok(looks > 2);
      assert.equal(lab.states().wx202611r2, 'active');
      assert.ok(withdrawn());
    });
  });

  it('emergency of the RSA key alone does not leave Ed25519 alone, unless forced', async () => {
    for (const [more, state] of [
      [[], 'retiring'],
      [['--force'], 'active'],
    ] as const) {
      lab = new LifecycleLab();
      await keys('rotate', 'example.com');
      await keys('emergency', 'example.com', '--reason', 'x', '--selector', 'wx202611r1', ...more);
      assert.deepEqual(lab.states(), { wx202611r1: 'revoked', wx202611e1: state });
    }
  });

  it('emergency takes the lease of a rotation that runs, which ends at its next write', async () => {
    await keys('rotate', 'example.com');
    lab.clock.advance(2 * DAY_MS);
    const rotating = lab.access('keys rotate', 'process 2.2 on elsewhere');
    await assert.rejects(
      underLease(rotating, 'example.com', async (held) => {
        const done = await keys('emergency', 'example.com', '--reason', 'stolen');
        assert.equal(done.code, 0, done.err);
        await held.write((entry) => ({ ...entry, subdomains: true }));
      }),
      { code: 'keyring-lease-lost' },
    );
    assert.equal(lab.entry().subdomains, false);
  });

  it('retire refuses to leave a domain without RSA, or without any key', async () => {
    await keys('rotate', 'example.com');
    const retire = async (selector: string) =>
      await keys('retire', 'example.com', '--selector', selector);
    const refused = await retire('wx202611r1');
    assert.equal(refused.code, 3);
    assert.match(refused.err, /would sign with Ed25519 only/);
    assert.equal((await retire('wx202611e1')).code, 0);
    assert.match((await retire('wx202611r1')).err, /no key of example\.com would be active/);
    assert.deepEqual(lab.states(), { wx202611r1: 'active', wx202611e1: 'retiring' });
  });
});
