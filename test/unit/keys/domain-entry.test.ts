import assert from 'node:assert/strict';
import type { LaterKey, OpenedKey } from '../../../src/keys/backend.ts';
import { openDomain } from '../../../src/keys/domain-entry.ts';
import type { KeyState } from '../../../src/keys/key-state.ts';
import type { ManifestDomain, ManifestKey } from '../../../src/keys/manifest.ts';
import type { Signer } from '../../../src/mail/signer.ts';

function key(selector: string, state: KeyState, more: Partial<ManifestKey> = {}): ManifestKey {
  return {
    selector,
    algorithm: 'rsa2048',
    backend: 'file',
    state,
    publicKey: `public-${selector}`,
    ttlS: 3600,
    createdAt: '2026-11-21T09:00:00.000Z',
    activatedAt: '2026-11-21T10:00:00.000Z',
    retiringSince: undefined,
    ...more,
  };
}

function domain(...keys: readonly ManifestKey[]): ManifestDomain {
  return { domain: 'a.example', subdomains: false, keys };
}

function signer(): Signer {
  return { algorithm: 'rsa-sha256', remote: false, sign: async () => Buffer.alloc(1) };
}

describe('opening a domain', () => {
  let asked: string[];
  let broken: Set<string>;
  const open = async (_domain: string, { selector }: ManifestKey): Promise<OpenedKey> => {
    asked.push(selector);
    if (!broken.has(selector)) return { kind: 'open', signer: signer() };
    return { kind: 'unusable', scope: 'key', reason: `${selector} is broken` };
  };
  const parts = { before: undefined, reopen: false, parentSigns: false, open };
  const selectors = (answer: Awaited<ReturnType<typeof openDomain>>['answer']) =>
    answer.kind === 'keys' ? answer.keys.map((one) => one.selector) : answer.reason;

  beforeEach(() => {
    asked = [];
    broken = new Set();
  });

  it('opens active keys only', async () => {
    const keys = [key('r1', 'retiring'), key('r2', 'active'), key('r3', 'verified')];
    const entry = await openDomain(domain(...keys), parts);
    assert.deepEqual(selectors(entry.answer), ['r2']);
    assert.deepEqual(asked, ['r2']);
  });

  it('goes on with the newest retiring key of the family, and says so', async () => {
    broken = new Set(['r3', 'r2']);
    const entry = await openDomain(
      domain(
        key('r0', 'retiring', { retiringSince: '2026-11-20T00:00:00.000Z' }),
        key('r1', 'retiring', { retiringSince: '2026-11-22T00:00:00.000Z' }),
        key('r2', 'retiring', { retiringSince: '2026-11-23T00:00:00.000Z' }),
        key('e1', 'active', { algorithm: 'ed25519' }),
        key('r3', 'active'),
      ),
      parts,
    );
    assert.deepEqual(selectors(entry.answer), ['e1', 'r1']);
    assert.equal(entry.standIn, 'r3 is broken; the retiring key r1 goes on in its place');
    assert.equal(entry.broken, undefined);
  });

  it('never with a revoked key, nor with one of another family', async () => {
    broken = new Set(['r2']);
    const others = [key('r1', 'revoked'), key('e1', 'retiring', { algorithm: 'ed25519' })];
    const entry = await openDomain(domain(...others, key('r2', 'active')), parts);
    assert.equal(selectors(entry.answer), 'r2 is broken');
    assert.deepEqual(asked, ['r2']);
  });

  it('never signs with half of the set', async () => {
    broken = new Set(['r1']);
    const both = domain(key('r1', 'active'), key('e1', 'active', { algorithm: 'ed25519' }));
    assert.equal(selectors((await openDomain(both, parts)).answer), 'r1 is broken');
  });

  it('keeps what was open, unless it is another key under the same name', async () => {
    const before = await openDomain(domain(key('r1', 'active')), parts);
    broken = new Set(['r1']);
    const again = { ...parts, before };
    const same = await openDomain(domain(key('r1', 'active', { ttlS: 60 })), again);
    assert.equal(same.signers[0]?.signer, before.signers[0]?.signer);
    assert.equal(same.standIn, undefined);
    const reopened = await openDomain(domain(key('r1', 'active')), { ...again, reopen: true });
    assert.match(reopened.standIn ?? '', /r1 is broken; the key as it was opened before goes on/);
    assert.equal(reopened.signers[0]?.signer, before.signers[0]?.signer);
    for (const other of [{ publicKey: 'other' }, { material: { sealed: 'x' } }]) {
      const changed = await openDomain(domain(key('r1', 'active', other)), again);
      assert.equal(selectors(changed.answer), 'r1 is broken');
    }
  });

  it('has the fall-back of an active key at hand, and opens it once', async () => {
    const keys = [key('r1', 'active'), key('r2', 'verified')];
    const fallBackFor = (_: ManifestDomain, main: ManifestKey) =>
      main.selector === 'r1' ? keys[1] : undefined;
    const entry = await openDomain(domain(...keys), { ...parts, fallBackFor });
    assert.deepEqual(selectors(entry.answer), ['r1']);
    assert.ok(entry.answer.kind === 'keys');
    assert.equal(entry.answer.keys[0]?.fallback?.selector, 'r2');
    assert.deepEqual(asked, ['r1', 'r2']);
    await openDomain(domain(...keys), { ...parts, fallBackFor, before: entry });
    assert.deepEqual(asked, ['r1', 'r2']);
    broken = new Set(['r2']);
    const without = await openDomain(domain(...keys), { ...parts, fallBackFor });
    assert.ok(without.answer.kind === 'keys');
    assert.equal(without.answer.keys[0]?.fallback, undefined);
  });

  it('signs as soon as the back end has opened a key that it went on trying', async () => {
    const later: { signer: Signer | undefined; reason: string } & LaterKey = {
      signer: undefined,
      reason: 'KMS does not answer',
      pending: false,
    };
    const entry = await openDomain(domain(key('r1', 'active')), {
      ...parts,
      open: async () => ({ kind: 'unusable', scope: 'backend', reason: 'at first', later }),
    });
    assert.equal(selectors(entry.answer), 'KMS does not answer');
    assert.equal(entry.broken, 'KMS does not answer');
    assert.equal(entry.answer, entry.answer, 'worked out once, though each MAIL asks');
    later.reason = 'KMS is slow';
    assert.equal(entry.broken, 'KMS is slow');
    later.signer = signer();
    assert.deepEqual(selectors(entry.answer), ['r1']);
    assert.equal(entry.broken, undefined);
    assert.equal(entry.signers.length, 1);
  });

  it('goes on with the retiring key until its successor is open, and then with that one', async () => {
    const before = await openDomain(domain(key('r1', 'active')), parts);
    for (const pending of [true, false]) {
      const later: { signer: Signer | undefined } & LaterKey = {
        signer: undefined,
        reason: 'KMS is slow',
        pending,
      };
      const entry = await openDomain(domain(key('r1', 'retiring'), key('r2', 'active')), {
        ...parts,
        before,
        open: async () => ({ kind: 'unusable', scope: 'backend', reason: 'at first', later }),
      });
      assert.deepEqual(selectors(entry.answer), ['r1']);
      assert.equal(entry.standIn, 'KMS is slow; the retiring key r1 goes on in its place');
      assert.equal(entry.broken, undefined);
      later.signer = signer();
      assert.deepEqual(selectors(entry.answer), ['r2']);
      assert.equal(entry.standIn, undefined);
    }
  });

  it('has the predecessor of a key that is asked far away at hand, without opening it anew', async () => {
    const before = await openDomain(domain(key('r1', 'active')), parts);
    const remote: Signer = { ...signer(), remote: true };
    const farAway = async (_domain: string, { selector }: ManifestKey): Promise<OpenedKey> => {
      asked.push(selector);
      return { kind: 'open', signer: remote };
    };
    const rotated = domain(key('r1', 'retiring'), key('r2', 'active', { backend: 'kms-sign' }));
    const entry = await openDomain(rotated, { ...parts, before, open: farAway });
    assert.deepEqual(asked, ['r1', 'r2']);
    assert.ok(entry.answer.kind === 'keys');
    const [signing] = entry.answer.keys;
    assert.equal(signing?.predecessor?.selector, 'r1');
    assert.equal(signing.predecessor.signer, before.signers[0]?.signer);
    const revoked = domain(key('r1', 'revoked'), key('r2', 'active', { backend: 'kms-sign' }));
    const after = await openDomain(revoked, { ...parts, before: entry, open: farAway });
    assert.ok(after.answer.kind === 'keys');
    assert.equal(after.answer.keys[0]?.predecessor, undefined);
  });

  it('has the predecessor at hand, too, of a key far away that was open later', async () => {
    const before = await openDomain(domain(key('r1', 'active')), parts);
    const later: { signer: Signer | undefined } & LaterKey = {
      signer: undefined,
      reason: 'its back end has not opened it yet',
      pending: false,
    };
    const rotated = domain(key('r1', 'retiring'), key('r2', 'active', { backend: 'kms-sign' }));
    const entry = await openDomain(rotated, {
      ...parts,
      before,
      open: async () => ({ kind: 'unusable', scope: 'backend', reason: 'at first', later }),
    });
    assert.deepEqual(selectors(entry.answer), ['r1']);
    later.signer = { ...signer(), remote: true };
    assert.ok(entry.answer.kind === 'keys');
    assert.equal(entry.answer.keys[0]?.selector, 'r2');
    assert.equal(entry.answer.keys[0]?.predecessor?.signer, before.signers[0]?.signer);
  });

  it('opens no retiring key in place of one whose turn has only to come', async () => {
    const later: LaterKey = { signer: undefined, reason: 'waits', pending: true };
    const asked: string[] = [];
    const entry = await openDomain(domain(key('r1', 'active'), key('r0', 'retiring')), {
      ...parts,
      open: async (_domain, { selector }) => {
        asked.push(selector);
        return { kind: 'unusable', scope: 'backend', reason: 'waits', later };
      },
    });
    assert.deepEqual(asked, ['r1']);
    assert.equal(entry.standIn, undefined);
    assert.equal(entry.broken, 'waits');
  });
});
