import assert from 'node:assert/strict';
import type { KeyState } from '../../../../src/keys/key-state.ts';
import { nextSelector } from '../../../../src/keys/lifecycle/next-selector.ts';
import {
  type LifecycleFacts,
  type NextStep,
  nextSteps,
} from '../../../../src/keys/lifecycle/next-steps.ts';
import { DAY_MS, DEFAULT_POLICY } from '../../../../src/keys/lifecycle/policy.ts';
import { policyFinder } from '../../../../src/keys/lifecycle/policy-for.ts';
import { wishState } from '../../../../src/keys/lifecycle/rotation-wish.ts';
import type { ManifestDomain, ManifestKey } from '../../../../src/keys/manifest.ts';
import { algorithm } from '../../../support/keyring.ts';

const NOW_MS = Date.parse('2026-11-21T09:00:00Z');
const DAY_1 = at(-1);

const ASKED: LifecycleFacts = {
  wish: { kind: 'asked', sinceMs: NOW_MS, again: true },
  algorithms: [],
  relays: new Map(),
  usableAtOnce: new Set(['file']),
  fallBacks: false,
  force: false,
};
const WHEN_OLD: LifecycleFacts = { ...ASKED, wish: { kind: 'when-old' } };
const FALL_BACKS: LifecycleFacts = { ...ASKED, fallBacks: true };
const REMOTE: LifecycleFacts = { ...ASKED, usableAtOnce: new Set() };

describe('the next steps of a domain', () => {
  const signing = key('r1', 'active', { backend: 'kms-sign' });
  const rows: readonly [string, ManifestDomain, LifecycleFacts, readonly string[]][] = [
    ['nothing is there, and nobody asks', domain(), WHEN_OLD, ['create operator']],
    ['nothing is there: both families', domain(), ASKED, ['create due rsa2048 ed25519']],
    [
      'one algorithm is asked for',
      domain(),
      { ...ASKED, algorithms: ['rsa4096'] },
      ['create due rsa4096'],
    ],
    ['young keys rest', domain(key('r1', 'active')), WHEN_OLD, ['create resting r1? 179']],
    [
      'old keys get successors of the same kind',
      domain(key('r1', 'active', { activatedAt: at(-180) }, 'rsa4096')),
      WHEN_OLD,
      ['create due rsa4096'],
    ],
    [
      'an odd imported key gets the usual one',
      domain(key('r1', 'active', { activatedAt: at(-180) }, 'rsa1536')),
      WHEN_OLD,
      ['create due rsa2048'],
    ],
    ['a created key is published', domain(key('r1', 'created')), ASKED, ['publish due r1']],
    [
      'a key made by hand is left to that hand',
      domain(key('r1', 'created')),
      WHEN_OLD,
      ['publish operator r1'],
    ],
    [
      'a rotation that was begun goes on with --due',
      { ...domain(key('r1', 'created')), rotatingSince: DAY_1 },
      WHEN_OLD,
      ['publish due r1'],
    ],
    ['a published key is looked for', domain(key('r1', 'published')), ASKED, ['verify due r1']],
    [
      'caches are waited for',
      domain(key('r1', 'published', { verifiedAt: DAY_1, settledAt: at(1) })),
      ASKED,
      ['verify waiting r1 1'],
    ],
    [
      'then DNS is asked again',
      domain(key('r1', 'published', { verifiedAt: DAY_1, settledAt: at(0) })),
      ASKED,
      ['verify due r1'],
    ],
    [
      'the set waits for its last one',
      domain(key('r1', 'verified'), key('e1', 'published', {}, 'ed25519')),
      ASKED,
      ['verify due e1'],
    ],
    [
      'the whole set is activated together',
      domain(key('r1', 'verified'), key('e1', 'verified', {}, 'ed25519')),
      ASKED,
      ['activate due r1 e1'],
    ],
    [
      'a fall-back key is published and verified, and never succeeds the one it stands in for',
      domain(signing, key('b1', 'created', { backend: 'kms-envelope' })),
      FALL_BACKS,
      ['create due rsa2048', 'publish due b1'],
    ],
    [
      'one that stands in gets a successor when the key that it stands in for does',
      domain(signing, key('b1', 'verified', { backend: 'kms-envelope' })),
      FALL_BACKS,
      ['create due rsa2048', 'create due rsa2048 kms-envelope'],
    ],
    [
      'which is published and verified before the set is activated',
      domain(
        signing,
        key('b1', 'verified', { backend: 'kms-envelope' }),
        key('r2', 'verified', { backend: 'kms-sign', createdAt: at(-1) }),
        key('b2', 'published', { backend: 'kms-envelope' }),
      ),
      FALL_BACKS,
      ['verify due b2'],
    ],
    [
      'and never succeeds that key',
      domain(
        signing,
        key('b1', 'verified', { backend: 'kms-envelope' }),
        key('r2', 'verified', { backend: 'kms-sign', createdAt: at(-1) }),
        key('b2', 'verified', { backend: 'kms-envelope', createdAt: at(-1) }),
      ),
      FALL_BACKS,
      ['activate due r2'],
    ],
    [
      'all relays have to be able to use it too',
      domain(
        signing,
        key('b1', 'verified', { backend: 'kms-envelope' }),
        key('r2', 'verified', { backend: 'kms-sign', createdAt: at(-1) }),
        key('b2', 'verified', { backend: 'kms-envelope', createdAt: at(-1) }),
      ),
      { ...FALL_BACKS, relays: new Map([['b2', ['relay-1: AccessDenied']]]) },
      ['activate waiting r2'],
    ],
    [
      'nothing happens to it while no rotation is due',
      domain(
        signing,
        key('b1', 'verified', { backend: 'kms-envelope' }),
        key('b2', 'verified', { backend: 'kms-envelope' }),
      ),
      { ...FALL_BACKS, wish: WHEN_OLD.wish },
      ['create resting r1? 179'],
    ],
    [
      'left to the hand that made it while no rotation is due',
      domain(signing, key('b1', 'published', { backend: 'kms-envelope' })),
      { ...FALL_BACKS, wish: WHEN_OLD.wish },
      ['create resting r1? 179', 'verify operator b1'],
    ],
    [
      'where no fall-back is configured it is a key like others',
      domain(signing, key('b1', 'verified', { backend: 'kms-envelope', createdAt: at(-1) })),
      ASKED,
      ['activate due b1'],
    ],
    [
      'permissions are waited for where no relay reports',
      domain(key('r1', 'verified', { createdAt: at(0) })),
      REMOTE,
      ['activate waiting r1 0'],
    ],
    [
      'and not where all relays can use the key',
      domain(key('r1', 'verified', { createdAt: at(0) })),
      { ...REMOTE, relays: new Map([['r1', []]]) },
      ['activate due r1'],
    ],
    [
      'a relay that cannot use it holds the set',
      domain(key('r1', 'verified')),
      { ...REMOTE, relays: new Map([['r1', ['relay-1: AccessDenied']]]) },
      ['activate waiting r1'],
    ],
    [
      'Ed25519 alone is refused',
      domain(key('e1', 'verified', {}, 'ed25519')),
      ASKED,
      ['activate operator e1'],
    ],
    [
      'unless forced',
      domain(key('e1', 'verified', {}, 'ed25519')),
      { ...ASKED, force: true },
      ['activate due e1'],
    ],
    [
      'beside an active RSA key it is fine',
      domain(key('r1', 'active'), key('r2', 'verified'), key('e1', 'verified', {}, 'ed25519')),
      ASKED,
      ['activate due r2 e1'],
    ],
    [
      'an old key retires for 7 days and the day for which relays may be stale',
      domain(key('r1', 'retiring', { retiringSince: at(-7.9) })),
      WHEN_OLD,
      ['create operator', 'revoke waiting r1 0'],
    ],
    [
      'then it is revoked',
      domain(key('r1', 'retiring', { retiringSince: at(-8) })),
      WHEN_OLD,
      ['create operator', 'revoke due r1'],
    ],
    [
      'not while a relay signs with it, since it cannot use the new one',
      domain(
        key('r1', 'retiring', { retiringSince: at(-8) }),
        key('e1', 'retiring', { retiringSince: at(-8) }, 'ed25519'),
        key('r2', 'active'),
        key('e2', 'active', {}, 'ed25519'),
      ),
      { ...WHEN_OLD, relays: new Map([['r2', ['relay-1: r2 AccessDenied']]]) },
      ['create resting r1? 179', 'revoke waiting r1', 'revoke due e1'],
    ],
    [
      'a manifest that does not say since when needs a person',
      domain(key('r1', 'retiring', { retiringSince: undefined })),
      WHEN_OLD,
      ['create operator', 'revoke operator r1'],
    ],
    [
      'a withdrawal that is not seen is looked for',
      domain(key('r1', 'revoked', { revokedAt: undefined })),
      WHEN_OLD,
      ['create operator', 'withdraw due r1'],
    ],
    [
      'a revoked key stays for 30 days from when that was seen',
      domain(key('r1', 'revoked', { revokedAt: at(-29) })),
      WHEN_OLD,
      ['create operator', 'destroy waiting r1 1'],
    ],
    [
      'then it is destroyed',
      domain(key('r1', 'revoked', { revokedAt: at(-30) })),
      WHEN_OLD,
      ['create operator', 'destroy due r1'],
    ],
    ['destroyed is the end', domain(key('r1', 'destroyed')), WHEN_OLD, ['create operator']],
  ];
  for (const [what, entry, facts, expected] of rows) {
    it(what, () => {
      assert.deepEqual(nextSteps(entry, DEFAULT_POLICY, NOW_MS, facts).map(brief), expected);
    });
  }

  it('keeps a standby, verified, and lets it rest', () => {
    const policy = { ...DEFAULT_POLICY, standby: true };
    const steps = (...keys: readonly ManifestKey[]) =>
      nextSteps(domain(key('r1', 'active'), ...keys), policy, NOW_MS, WHEN_OLD).map(brief);
    assert.deepEqual(steps(), ['create due rsa2048']);
    assert.deepEqual(steps(key('r2', 'created')), ['publish due r2']);
    assert.deepEqual(steps(key('r2', 'verified')), ['activate resting r2? 179']);
  });

  it('refuses a policy under which mail on its way would fail', () => {
    const policy = { ...DEFAULT_POLICY, retireAfterMs: 5 * DAY_MS };
    const entry = domain(key('r1', 'retiring', { retiringSince: at(-100) }));
    const [, step] = nextSteps(entry, policy, NOW_MS, WHEN_OLD);
    assert.equal(step?.kind, 'operator');
  });
});

describe('a wish for new keys', () => {
  const state = (entry: ManifestDomain, sinceMs: number, again: boolean) =>
    wishState(entry, DEFAULT_POLICY, NOW_MS, { kind: 'asked', sinceMs, again }).kind;

  it('is fulfilled by keys that became active since, even when asked again', () => {
    const entry = domain(key('r1', 'active', { activatedAt: at(-0.1) }));
    assert.equal(state(entry, NOW_MS - 0.2 * DAY_MS, true), 'fulfilled');
    assert.equal(state(entry, NOW_MS, true), 'open');
    assert.equal(state(entry, NOW_MS, false), 'fulfilled');
  });

  it('is open for keys of an earlier day, unless one is still retiring', () => {
    const active = key('r2', 'active', { activatedAt: at(-2) });
    assert.equal(state(domain(active), NOW_MS, false), 'open');
    const retiring = key('r1', 'retiring', { retiringSince: at(-2) });
    assert.equal(state(domain(retiring, active), NOW_MS, false), 'fulfilled');
    assert.equal(state(domain(retiring, active), NOW_MS, true), 'open');
  });
});

describe('habits of some domains', () => {
  const habits = {
    rotateAfterDays: 180,
    retireAfterDays: 7,
    removeAfterDays: 30,
    queueLifetimeDays: 5,
    authLagMs: 1,
    standby: false,
    names: 'dated',
  } as const;
  const find = policyFinder({
    ...habits,
    domains: [
      { domains: ['.example.com'], rotateAfterDays: 90 },
      { domains: ['a.example.com'], standby: true },
      { domains: ['.b.example.com'], rotateAfterDays: 30 },
    ],
  });
  const rows: readonly [string, number, boolean][] = [
    ['example.com', 180, false],
    ['x.example.com', 90, false],
    ['a.example.com', 180, true],
    ['y.b.example.com', 30, false],
    ['b.example.com', 90, false],
  ];
  for (const [name, rotateAfterDays, standby] of rows) {
    it(`of ${name}`, () => {
      const policy = find(name);
      assert.equal(policy.rotateAfterMs, rotateAfterDays * DAY_MS);
      assert.equal(policy.standby, standby);
      assert.equal(policy.retireAfterMs, 7 * DAY_MS);
    });
  }
});

describe('names of new keys', () => {
  it('skip what a back end holds, and are refused when DNS cannot have them', async () => {
    const options = { negativeTtlS: 0, isTaken: async (name: string) => name.endsWith('r1') };
    const rsa = algorithm('rsa2048');
    const dated = { ...options, names: 'dated' } as const;
    const found = await nextSelector(domain(), rsa, NOW_MS, dated);
    assert.deepEqual(found, { kind: 'selector', selector: 'wx202611r2' });
    const long = { ...domain(), domain: `${'a'.repeat(60)}.`.repeat(4).slice(0, -1) };
    assert.equal((await nextSelector(long, rsa, NOW_MS, dated)).kind, 'refused');
  });
});

function at(days: number): string {
  return new Date(NOW_MS + days * DAY_MS).toISOString();
}

function domain(...keys: readonly ManifestKey[]): ManifestDomain {
  return { domain: 'example.com', subdomains: false, keys };
}

function key(
  selector: string,
  state: KeyState,
  times: Partial<ManifestKey> = {},
  algorithmName = 'rsa2048',
): ManifestKey {
  const wasActive = ['active', 'retiring', 'revoked', 'destroyed'].includes(state);
  return {
    selector,
    algorithm: algorithmName,
    backend: 'file',
    state,
    publicKey: 'AAAA',
    ttlS: 3600,
    createdAt: DAY_1,
    activatedAt: wasActive ? DAY_1 : undefined,
    retiringSince: undefined,
    ...times,
  };
}

/** `verify waiting r1 1`: step, kind, keys or algorithms, whole days until then. */
function brief(step: NextStep): string {
  const days = 'atMs' in step && step.atMs !== undefined ? (step.atMs - NOW_MS) / DAY_MS : -1;
  const names = step.kind === 'resting' ? `${step.selectors.join('') || 'r1'}?` : undefined;
  return [
    step.step,
    step.kind,
    ...(names === undefined ? (step.algorithms ?? step.selectors) : [names]),
    ...(step.backend === undefined ? [] : [step.backend]),
    ...(days >= 0 ? [Math.floor(days)] : []),
  ].join(' ');
}
