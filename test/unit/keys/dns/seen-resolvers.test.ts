import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { systemClock } from '../../../../src/base/clock.ts';
import type { DnsServer } from '../../../../src/base/dns-transport.ts';
import { StubResolver } from '../../../../src/base/resolver.ts';
import { Rfc2136Publisher } from '../../../../src/keys/dns/rfc2136-publisher.ts';
import { checkSeen, type SeenExpectation } from '../../../../src/keys/dns/seen.ts';
import { recordValue } from '../../../../src/keys/key-record.ts';
import { type Bind, startBind } from '../../../support/bind.ts';
import { requirePeer } from '../../../support/peers.ts';
import { startUnbound, type Unbound } from '../../../support/unbound.ts';
import { waitFor } from '../../../support/wait-for.ts';

const run = promisify(execFile);
const SECRET = randomBytes(32);
const KEY = { algorithm: 'ed25519', publicKey: '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=' };

describe('the check "seen in DNS", with real resolvers behind it', () => {
  let bind: Bind;
  let unboundPath: string;
  const open: Unbound[] = [];

  before(async function () {
    unboundPath = requirePeer(this, 'unbound');
    bind = await startBind(
      requirePeer(this, 'named'),
      {
        '.': `@ IN NS ns\nns IN A 127.0.0.1\nexample.test. IN NS ns.example.test.\nns.example.test. IN A 127.0.0.1`,
        'example.test': '',
        'signed.test': `s._domainkey IN TXT "${recordValue(KEY)}"`,
      },
      {
        statements: `key writer { algorithm hmac-sha256; secret "${SECRET.toString('base64')}"; };`,
        zoneStatements: 'update-policy { grant writer zonesub TXT; };',
        signed: ['signed.test'],
      },
    );
  });
  after(() => bind?.close());
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });

  async function unbound(trustAnchors: readonly string[] = []): Promise<DnsServer> {
    const stubZones = { '.': bind.port, 'example.test': bind.port, 'signed.test': bind.port };
    const started = await startUnbound(unboundPath, { stubZones, trustAnchors });
    open.push(started);
    return started.server;
  }

  function see(
    domain: string,
    resolvers: readonly DnsServer[],
    record: SeenExpectation['record'] = { kind: 'key', key: KEY },
  ) {
    return checkSeen(
      { domain, selector: 's', record },
      {
        hints: [{ zone: '', servers: [{ address: '127.0.0.1', port: bind.port }] }],
        port: bind.port,
        resolvers,
        clock: systemClock,
      },
    );
  }

  it('does not ask them before the authorities agree, and waits for an NXDOMAIN of one', async () => {
    const writer = new Rfc2136Publisher({
      server: { address: '127.0.0.1', port: bind.port },
      key: { name: 'writer', secret: SECRET },
      zone: 'example.test',
      timeoutMs: 5000,
      clock: systemClock,
    });
    const [early, fresh] = [await unbound(), await unbound()];
    const name = 's._domainkey.example.test';
    const before = await see('example.test', [fresh]);
    assert.equal(before.verdict, 'not-yet');
    assert.deepEqual(before.resolvers, []);
    // Somebody asked one resolver too early.
    const stub = new StubResolver({
      servers: [`${early.address}:${early.port}`],
      timeoutMs: 2000,
      attempts: 2,
      cacheEntries: 0,
      maxTtlS: 0,
      maxNegativeTtlS: 0,
      clock: systemClock,
    });
    assert.equal((await stub.resolve(name, 'TXT')).kind, 'nxdomain');
    stub.close();
    const after = recordValue(KEY);
    const written = await writer.apply([
      { name, type: 'TXT', ttlS: 600, before: undefined, after },
    ]);
    assert.equal(written.kind, 'written', JSON.stringify(written));

    const cached = await see('example.test', [early, fresh]);
    assert.equal(cached.verdict, 'not-yet');
    assert.deepEqual(
      cached.resolvers.map(({ verdict }) => verdict),
      ['absent', 'seen'],
    );
    assert.match(cached.resolvers[0]?.detail ?? '', /it keeps this answer for (300|29\d) s/);
    assert.ok(cached.settleMs > 290_000);
    const seen = await see('example.test', [fresh]);
    assert.equal(seen.verdict, 'seen', seen.summary);
    assert.equal(seen.settleMs, 300_000);
    assert.match(seen.warnings.join(), /no resolver that was asked is known to validate DNSSEC/);
  });

  it('tells by AD that one validates, and bogus signatures from silence', async function () {
    const dig = requirePeer(this, 'dig');
    const ask = ['@127.0.0.1', '-p', `${bind.port}`, '+short', 'signed.test', 'DNSKEY'];
    let anchors: string[] = [];
    await waitFor('the zone to be signed', async () => {
      const { stdout } = await run(dig, ask);
      anchors = stdout.split('\n').filter((line) => line.startsWith('257 '));
      return anchors.length > 0;
    });
    const good = await unbound(anchors.map((key) => `signed.test. IN DNSKEY ${key}`));
    const validated = await see('signed.test', [good]);
    assert.equal(validated.verdict, 'seen', validated.summary);
    assert.match(validated.resolvers[0]?.detail ?? '', /validated by DNSSEC/);
    assert.ok(!validated.warnings.join().includes('DNSSEC'));

    const otherKey = `signed.test. IN DNSKEY 257 3 13 ${randomBytes(64).toString('base64')}`;
    const bogus = await see('signed.test', [await unbound([otherKey])]);
    assert.equal(bogus.verdict, 'conflict');
    assert.match(bogus.summary, /the DNSSEC signatures of the answer do not verify/);
  });

  it('is not content with a resolver that gives no answer', async () => {
    const silent = await see('signed.test', [{ address: '127.0.0.1', port: 1 }]);
    assert.equal(silent.verdict, 'not-yet');
    assert.equal(silent.resolvers[0]?.verdict, 'unreachable');
  });
});
