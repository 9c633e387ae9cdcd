import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { systemClock } from '../../src/base/clock.ts';
import { StubResolver } from '../../src/base/resolver.ts';
import { Router } from '../../src/relay/route.ts';
import { type Bind, startBind } from '../support/bind.ts';
import { requirePeer } from '../support/peers.ts';
import { waitFor } from '../support/wait-for.ts';

/** A DKIM key as it stands in a zone: over 255 octets, so split into character-strings. */
const DKIM_RECORD = `v=DKIM1; k=rsa; p=${generateKeyPairSync('rsa', { modulusLength: 2048 })
  .publicKey.export({ type: 'spki', format: 'der' })
  .toString('base64')}`;
/** Over 1232 octets: does not fit a UDP answer of ours. */
const LONG_STRINGS = Array.from({ length: 8 }, (_, n) => `${n}`.repeat(250));

const ZONES = {
  'mail.test': `
@      IN MX 10 mx1
@      IN MX 10 mx2
@      IN MX 20 backup.other.test.
mx1    IN A 192.0.2.1
mx1    IN AAAA 2001:db8::1
mx2    IN CNAME real-mx2
real-mx2 IN A 192.0.2.2
s1._domainkey IN TXT ${quoted(DKIM_RECORD.match(/.{1,255}/g) ?? [])}
long   IN TXT ${quoted(LONG_STRINGS)}
short  60 IN TXT "v=spf1 -all"
c1     IN CNAME c2
c2     IN CNAME alias.other.test.
loop1  IN CNAME loop2
loop2  IN CNAME loop1
dangling IN CNAME gone.other.test.
far    IN CNAME unserved.invalid.
a.deep IN A 192.0.2.9`,
  'other.test': `
@      IN A 192.0.2.50
backup IN A 192.0.2.3
alias  IN CNAME host
host   IN A 192.0.2.4
null   IN MX 0 .
inside IN MX 0 internal
internal IN A 10.0.0.1`,
};

describe('the resolver, against a real BIND', () => {
  let bind: Bind;
  let resolver: StubResolver;

  before(async function () {
    bind = await startBind(requirePeer(this, 'named'), ZONES);
  });

  after(() => bind?.close());

  beforeEach(() => {
    resolver = new StubResolver({
      servers: [bind.server],
      timeoutMs: 3000,
      attempts: 3,
      cacheEntries: 100,
      maxTtlS: 86_400,
      maxNegativeTtlS: 120,
      clock: systemClock,
    });
  });

  afterEach(() => resolver.close());

  it('reads MX, A and AAAA with their TTL', async () => {
    const mx = await resolver.resolve('MAIL.test', 'MX');
    assert.ok(mx.kind === 'records');
    assert.equal(mx.ttlS, 300);
    assert.deepEqual(
      mx.records.map(({ preference, exchange }) => `${preference} ${exchange}`).toSorted(),
      ['10 mx1.mail.test', '10 mx2.mail.test', '20 backup.other.test'],
    );
    const a = await resolver.resolve('mx1.mail.test', 'A');
    assert.deepEqual(a.kind === 'records' && a.records, ['192.0.2.1']);
    const aaaa = await resolver.resolve('mx1.mail.test', 'AAAA');
    assert.deepEqual(aaaa.kind === 'records' && aaaa.records, ['2001:db8::1']);
    const txt = await resolver.resolve('short.mail.test', 'TXT');
    assert.equal(txt.kind === 'records' && txt.ttlS, 60);
  });

  it('keeps the strings of a split DKIM key apart', async () => {
    const answer = await resolver.resolve('s1._domainkey.mail.test', 'TXT');
    assert.ok(answer.kind === 'records');
    assert.equal(answer.records.length, 1);
    assert.equal(answer.records[0]?.length, 2);
    assert.equal(Buffer.concat([...(answer.records[0] ?? [])]).toString(), DKIM_RECORD);
  });

  it('fetches over TCP what does not fit into 1232 octets of UDP', async () => {
    const answer = await resolver.resolve('long.mail.test', 'TXT');
    assert.ok(answer.kind === 'records');
    assert.deepEqual(answer.records[0]?.map(String), LONG_STRINGS);
    // BIND's flags: + for recursion desired, E for EDNS, T for TCP.
    await waitFor('one query over UDP and one over TCP', async () => {
      const log = await bind.queryLog('long.mail.test');
      return (
        log.length === 2 && / \+E\(0\) /.test(log[0] ?? '') && / \+E\(0\)T /.test(log[1] ?? '')
      );
    });
  });

  it('tells a missing name from a missing type, for the bounded time', async () => {
    const missing = await resolver.resolve('gone.mail.test', 'MX');
    assert.deepEqual(missing, { kind: 'nxdomain', name: 'gone.mail.test', ttlS: 120 });
    for (const name of ['mx1.mail.test', 'deep.mail.test']) {
      assert.deepEqual(await resolver.resolve(name, 'MX'), { kind: 'nodata', name, ttlS: 120 });
    }
  });

  it('follows CNAMEs within and across zones', async () => {
    const answer = await resolver.resolve('c1.mail.test', 'A');
    assert.deepEqual(answer, {
      kind: 'records',
      name: 'host.other.test',
      records: ['192.0.2.4'],
      ttlS: 300,
    });
    const dangling = await resolver.resolve('dangling.mail.test', 'A');
    assert.equal(dangling.kind, 'nxdomain');
  });

  it('fails at a CNAME loop, as BIND does', async () => {
    const answer = await resolver.resolve('loop1.mail.test', 'A');
    assert.equal(answer.kind === 'failure' && answer.reason, 'servfail');
  });

  it('takes a refusal for a failure, and not for a missing name', async () => {
    const outside = await resolver.resolve('unserved.invalid', 'A');
    assert.equal(outside.kind === 'failure' && outside.reason, 'refused');
    const alias = await resolver.resolve('far.mail.test', 'A');
    assert.equal(alias.kind === 'failure' && alias.reason, 'refused');
  });

  it('routes mail by what BIND says', async () => {
    const router = new Router({
      resolver,
      routes: [],
      smarthost: undefined,
      mx: { port: 25, tls: 'opportunistic' },
      allowPrivate: false,
      allowAddressLiterals: false,
      ownNames: ['relay.test'],
      ownEndpoints: [],
      random: () => 0,
    });
    const seen: Record<string, string> = {};
    for (const domain of [
      'mail.test',
      'other.test',
      'null.other.test',
      'gone.other.test',
      'inside.other.test',
      'long.mail.test',
      'unserved.invalid',
    ]) {
      const result = await router.candidates(router.destinationFor(domain));
      seen[domain] = result.ok
        ? result.candidates
            .map(({ host, addresses }) => `${host} ${addresses.join(' ')}`)
            .toSorted()
            .join(', ')
        : `${result.reply.code} ${result.reply.enhanced}`;
    }
    assert.deepEqual(seen, {
      'mail.test':
        'backup.other.test 192.0.2.3, mx1.mail.test 2001:db8::1 192.0.2.1, mx2.mail.test 192.0.2.2',
      'other.test': 'other.test 192.0.2.50',
      'null.other.test': '556 5.1.10',
      'gone.other.test': '550 5.1.2',
      'inside.other.test': '550 5.4.6',
      'long.mail.test': '550 5.1.2',
      'unserved.invalid': '451 4.4.3',
    });
  });
});

function quoted(strings: readonly string[]): string {
  return `( ${strings.map((text) => `"${text}"`).join(' ')} )`;
}
