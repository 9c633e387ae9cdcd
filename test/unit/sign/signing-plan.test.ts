import assert from 'node:assert/strict';
import type { SigningKey, SigningKeyring, SigningKeys } from '../../../src/mail/signer.ts';
import { planSigning, type SigningPolicy } from '../../../src/sign/signing-plan.ts';

function key(domain: string, selector: string): SigningKey {
  const sign = () => Promise.reject(new Error('not used'));
  const signer = { algorithm: 'rsa-sha256', remote: false, sign } as const;
  return { domain, selector, signatureBytes: 256, signer };
}

const KEYS: Readonly<Record<string, SigningKeys>> = {
  'example.com': {
    kind: 'keys',
    domain: 'example.com',
    keys: [key('example.com', 'r'), key('example.com', 'e')],
  },
  'provider.example': {
    kind: 'keys',
    domain: 'provider.example',
    keys: [key('provider.example', 'p')],
  },
  'empty.example': { kind: 'keys', domain: 'empty.example', keys: [] },
  'broken.example': {
    kind: 'unusable',
    domain: 'broken.example',
    reason: 'master key /x is missing',
  },
};

const POLICY: SigningPolicy = {
  unmatched: 'refuse',
  unmatchedNullSender: 'unsigned',
  alsoSignAs: [],
};

function plan(
  authorDomain: string,
  policy: Partial<SigningPolicy> = {},
  nullReversePath = false,
  fault: string | undefined = undefined,
): string {
  const keyring: SigningKeyring = {
    fault,
    keysFor: (domain) => KEYS[domain] ?? { kind: 'unknown-domain' },
  };
  const made = planSigning({ authorDomain, nullReversePath }, keyring, { ...POLICY, ...policy });
  if (made.kind === 'sign') {
    return made.keys.map(({ domain, selector }) => `${selector}.${domain}`).join(' ');
  }
  if (made.kind === 'unsigned') return `unsigned: ${made.why}`;
  const { code, enhanced, rule, lines } = made.reply;
  return `${code} ${enhanced} ${rule} ${lines.join(' ')}`;
}

describe('signing plan', () => {
  it('signs with all keys of the author domain', () => {
    assert.equal(plan('example.com'), 'r.example.com e.example.com');
    assert.equal(plan('example.com', {}, true), 'r.example.com e.example.com');
  });

  it('adds the keys of alsoSignAs, each once', () => {
    const alsoSignAs = ['provider.example', 'example.com', 'provider.example'];
    assert.equal(
      plan('example.com', { alsoSignAs }),
      'r.example.com e.example.com p.provider.example',
    );
  });

  it('refuses an unknown domain by name, and says what to do', () => {
    const reply = plan('other.example');
    assert.match(reply, /^550 5\.7\.1 signing\.unmatched No DKIM key for other\.example/);
    assert.match(reply, /waxseal keys create other\.example/);
  });

  it('lets it leave unsigned where configured, for the null reverse-path apart', () => {
    const unsigned = 'unsigned: no key for other.example';
    assert.equal(plan('other.example', {}, true), unsigned);
    assert.equal(plan('other.example', { unmatched: 'unsigned' }), unsigned);
    assert.match(plan('other.example', { unmatchedNullSender: 'refuse' }, true), /^550/);
  });

  it('does not put the provider signature on a message that leaves unsigned', () => {
    const alsoSignAs = ['provider.example'];
    assert.match(plan('other.example', { alsoSignAs }, true), /^unsigned/);
  });

  it('signs with the fallback domain where configured', () => {
    const fallback = { unmatched: 'fallback:provider.example' } as const;
    assert.equal(plan('other.example', fallback), 'p.provider.example');
    assert.equal(plan('example.com', fallback), 'r.example.com e.example.com');
  });

  it('defers on any fault of ours, and tells nothing of its reason to the client', () => {
    for (const deferred of [
      plan('example.com', {}, false, 'keys/ cannot be read'),
      plan('other.example', {}, true, 'keys/ cannot be read'),
      plan('broken.example'),
      plan('broken.example', {}, true),
      plan('empty.example'),
      plan('other.example', { unmatched: 'fallback:broken.example' }),
      plan('other.example', { unmatched: 'fallback:missing.example' }),
      plan('example.com', { alsoSignAs: ['missing.example'] }),
      plan('example.com', { alsoSignAs: ['broken.example'] }),
    ]) {
      assert.match(deferred, /^451 4\.7\.5 signing\.key Signing for \S+ is not possible now/);
      assert.doesNotMatch(deferred, /keys\/|master/);
    }
  });
});
