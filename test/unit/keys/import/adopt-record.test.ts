import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { StubResolver } from '../../../../src/base/resolver.ts';
import { activateKeys } from '../../../../src/keys/activate-keys.ts';
import type { ImportEntry } from '../../../../src/keys/import/adopt-record.ts';
import {
  type ImportedKey,
  type ImportSourceRequest,
  importSource,
} from '../../../../src/keys/import/import-source.ts';
import { privateKeySource } from '../../../../src/keys/import/key-source.ts';
import {
  authoritativeRecords,
  type StandingRecords,
} from '../../../../src/keys/import/standing-record.ts';
import { type KeyringAccess, keyringAccess } from '../../../../src/keys/keyring-access.ts';
import { resolverTxtLookup } from '../../../../src/keys/txt-lookup.ts';
import { type Bind, startBind } from '../../../support/bind.ts';
import { startDns } from '../../../support/dns.ts';
import { freePort } from '../../../support/free-port.ts';
import {
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
} from '../../../support/keyring.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { requirePeer } from '../../../support/peers.ts';

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
const SOURCE = privateKeySource(privateKey, 'test', 'file');
const OTHER = privateKeySource(generateKeyPairSync('ed25519').privateKey, 'test', 'file');
/** As opendkim-genkey writes it: two strings, tags in another order than ours. */
const STRINGS = ['v=DKIM1; h=sha256; k=rsa; ', `p=${SOURCE.publicKey}`];
const RIGHT = STRINGS.map((text) => `"${text}"`).join(' ');

const ZONE = `
mail._domainkey 1800 IN TXT ( ${RIGHT} )
other._domainkey 1800 IN TXT "v=DKIM1; k=ed25519; p=${OTHER.publicKey}"
revoked._domainkey IN TXT "v=DKIM1; k=rsa; p="
two._domainkey IN TXT ( ${RIGHT} )
two._domainkey IN TXT "v=spf1 -all"
spf._domainkey IN TXT "hello"
short._domainkey 5 IN TXT ( ${RIGHT} )
alias._domainkey IN CNAME mail._domainkey
`;

describe('import with --adopt-record', () => {
  let bind: Bind;
  let place: KeyringPlace;
  let access: KeyringAccess;
  let resolver: StubResolver;
  let standing: StandingRecords;
  let journal: ImportEntry[];
  const clock = new ManualClock(Date.parse('2026-11-25T09:00:00Z'));

  before(async function () {
    bind = await startBind(requirePeer(this, 'named'), { 'example.test': ZONE });
  });
  after(async () => await bind?.close());
  beforeEach(async () => {
    place = await makeKeyringPlace();
    access = keyringAccess(place, clock);
    journal = [];
    resolver = resolverAt(bind.server);
    standing = standingAt([bind], 2000);
  });
  afterEach(async () => {
    resolver.close();
    await removeKeyringPlace(place);
  });

  /** The zone's servers are found by a hint. */
  function standingAt(
    servers: readonly { readonly address: string; readonly port: number }[],
    timeoutMs: number,
  ): StandingRecords {
    const hints = [{ zone: 'example.test', servers }];
    return authoritativeRecords({ hints, clock, timeoutMs, attempts: 1 });
  }

  function resolverAt(server: string): StubResolver {
    const limits = { cacheEntries: 100, maxTtlS: 60, maxNegativeTtlS: 60 };
    return new StubResolver({ servers: [server], timeoutMs: 2000, attempts: 2, ...limits, clock });
  }

  async function adopt(
    selector: string,
    changes: Partial<ImportSourceRequest> = {},
  ): Promise<ImportedKey> {
    const request = {
      domain: 'example.test',
      selector,
      subdomains: undefined,
      ttlS: 3600,
      adoptRecord: true,
      force: true,
      dryRun: false,
      ...changes,
    };
    return await importSource(access, SOURCE, request, {
      lookup: resolverTxtLookup(resolver),
      standing,
      journal: { append: async (entry) => void journal.push(entry) },
      clock,
      caller: 'operator',
    });
  }

  it('journals what stands, octet for octet, and brings the key in ready for activation', async () => {
    const { key, recordAdopted } = await adopt('mail', { force: false });
    assert.ok(recordAdopted);
    assert.equal(key.state, 'verified');
    assert.equal(key.ttlS, 1800, 'the TTL of the zone holds, not the one of the command');
    assert.deepEqual(
      journal.map(({ event }) => event),
      ['record-adopted', 'key-importing', 'key-imported'],
    );
    const { origin, publicKey } = journal[1]?.details ?? {};
    assert.deepEqual([origin, publicKey], ['test', SOURCE.publicKey]);
    assert.deepEqual(journal.slice(0, 1), [
      {
        at: '2026-11-25T09:00:00.000Z',
        caller: 'operator',
        command: 'keys import',
        event: 'record-adopted',
        domain: 'example.test',
        selector: 'mail',
        record: {
          name: 'mail._domainkey.example.test',
          type: 'TXT',
          ttlS: 1800,
          value: STRINGS.join(''),
        },
        details: { strings: JSON.stringify(STRINGS) },
      },
    ]);
    const request = { domain: 'example.test', selectors: [], force: false };
    const activation = await activateKeys(access, request, resolverTxtLookup(resolver));
    assert.equal(activation.kind, 'activated');
  });

  it('adopts later what was imported before', async () => {
    assert.equal((await adopt('mail', { adoptRecord: false })).key.state, 'created');
    assert.ok(journal.every(({ record }) => record === undefined));
    journal = [];
    const later = await adopt('mail');
    assert.equal(later.outcome, 'already-there');
    assert.equal(later.key.state, 'verified');
    assert.equal(later.key.ttlS, 1800);
    assert.equal(journal.length, 1);
  });

  it('writes nothing in a dry run', async () => {
    const dry = await adopt('mail', { dryRun: true });
    assert.ok(dry.recordAdopted && dry.outcome === 'would-import');
    assert.deepEqual(journal, []);
    await assert.rejects(access.store.read(), { code: 'keyring-missing' });
  });

  const refused: readonly [string, RegExp][] = [
    ['other', /k=ed25519 and not k=rsa/],
    ['revoked', /p= is empty/],
    ['two', /2 TXT records/],
    ['spf', /no key record/],
    ['short', /TTL is 5 seconds/],
    ['alias', /alias \(CNAME\) to mail\._domainkey\.example\.test/],
    ['absent', /there is no TXT record/],
  ];
  for (const [selector, message] of refused) {
    it(`refuses the record "${selector}", and changes nothing`, async () => {
      await assert.rejects(adopt(selector), { code: 'key-record-not-adoptable', message });
      assert.deepEqual(journal, []);
      await assert.rejects(access.store.read(), { code: 'keyring-missing' });
    });
  }

  it('refuses without a journal, in a dry run too', async () => {
    const request = { domain: 'example.test', selector: 'mail', subdomains: undefined, ttlS: 60 };
    for (const dryRun of [true, false]) {
      const options = { ...request, adoptRecord: true, force: false, dryRun };
      const lookup = resolverTxtLookup(resolver);
      const parts = { lookup, standing, journal: undefined, clock, caller: 'x' };
      await assert.rejects(importSource(access, SOURCE, options, parts), /no journal/);
    }
  });

  it('refuses a key whose name another record holds, unless forced', async () => {
    const options = { adoptRecord: false, force: false };
    await assert.rejects(adopt('other', options), { code: 'key-record-other' });
    assert.equal((await adopt('other', { ...options, force: true })).key.state, 'created');
  });

  it('refuses when the servers of the zone do not agree, or one does not answer', async () => {
    const one = await startDns({}, { ttlS: 1800 });
    const other = await startDns({}, { ttlS: 1800 });
    try {
      for (const server of [one, other]) {
        server.set('mail._domainkey.example.test', 'TXT', [STRINGS]);
      }
      standing = standingAt([one, other], 200);
      assert.equal((await standing('mail._domainkey.example.test')).kind, 'one');
      // An IPv6 address that this machine has no way to reach says nothing.
      const out = { address: '2001:db8::3', port: 53 };
      const hints = [{ zone: 'example.test', servers: [one, out] }];
      const limits = { clock, timeoutMs: 200, attempts: 1, hasIpv6: false };
      const withoutIpv6 = authoritativeRecords({ hints, ...limits });
      assert.equal((await withoutIpv6('mail._domainkey.example.test')).kind, 'one');
      other.set('mail._domainkey.example.test', 'TXT', [['v=DKIM1; p=']]);
      await assert.rejects(adopt('mail'), /do not agree/);
      other.fault('mail._domainkey.example.test', 'refused');
      await assert.rejects(adopt('mail'), /127\.0\.0\.1: it does not answer for the zone/);
      standing = standingAt([one, { address: '127.0.0.1', port: await freePort() }], 200);
      await assert.rejects(adopt('mail'), /127\.0\.0\.1: (?!it does not)/);
    } finally {
      await one.close();
      await other.close();
    }
  });
});
