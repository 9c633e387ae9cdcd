import assert from 'node:assert/strict';
import { isAbsolute } from 'node:path';
import { findPeer, requirePeer } from '../../support/peers.ts';

const ABSENT = 'no-such-program-anywhere';

describe('requirePeer', () => {
  let before: string | undefined;
  let skipped: boolean;
  const context = {
    skip: () => {
      skipped = true;
    },
  } as unknown as Mocha.Context;

  beforeEach(() => {
    before = process.env.WAXSEAL_REQUIRE_PEERS;
    skipped = false;
  });

  afterEach(() => {
    if (before === undefined) delete process.env.WAXSEAL_REQUIRE_PEERS;
    else process.env.WAXSEAL_REQUIRE_PEERS = before;
  });

  it('gives the path of a program that is there', () => {
    const path = requirePeer(context, 'sh');
    assert.ok(isAbsolute(path));
    assert.equal(skipped, false);
  });

  it('skips when it is not', () => {
    delete process.env.WAXSEAL_REQUIRE_PEERS;
    requirePeer(context, ABSENT);
    assert.equal(skipped, true);
  });

  it('fails instead when peers are required', () => {
    process.env.WAXSEAL_REQUIRE_PEERS = '1';
    assert.throws(() => requirePeer(context, ABSENT), /no-such-program-anywhere.*not installed/);
    assert.equal(skipped, false);
    assert.equal(findPeer(ABSENT), undefined);
  });
});
