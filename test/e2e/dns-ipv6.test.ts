import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { StubResolver } from '../../src/base/resolver.ts';
import { Router } from '../../src/relay/route.ts';
import { type Bind, startBind } from '../support/bind.ts';
import { CliPlace } from '../support/cli-place.ts';
import { requireIpv6Loopback, requirePeer } from '../support/peers.ts';

const ZONE = 'example.test';
/** Over 1232 octets: the answer needs TCP. */
const LONG = Array.from({ length: 8 }, (_, n) => `"${`${n}`.repeat(250)}"`).join(' ');

describe('DNS at ::1 alone, a real BIND', function () {
  this.timeout(60_000);
  let bind: Bind;
  let statement: string;

  before(async function () {
    requireIpv6Loopback(this);
    const secret = randomBytes(32).toString('base64');
    statement = `key "writer" { algorithm hmac-sha256; secret "${secret}"; };`;
    const records = `@ IN MX 10 mx\nmx IN A 192.0.2.1\nmx IN AAAA 2001:db8::1\nlong IN TXT ( ${LONG} )`;
    bind = await startBind(
      requirePeer(this, 'named'),
      { [ZONE]: records },
      {
        listenOn: ['::1'],
        ttlS: 0,
        statements: statement,
        zoneStatements: 'update-policy { grant writer zonesub TXT; };',
      },
    );
  });

  after(() => bind?.close());

  it('is where keys are published and seen, and a whole rotation passes', async () => {
    assert.match(bind.server, /^\[::1\]:\d+$/);
    const place = await CliPlace.make();
    try {
      const keyFile = join(place.dir, 'tsig.key');
      await writeFile(keyFile, statement, { mode: 0o600 });
      const writer = { kind: 'rfc2136', server: bind.server, keyName: 'writer', keyFile };
      await place.configure({
        dns: { servers: [bind.server], hints: [{ zone: ZONE, servers: [bind.server] }] },
        publishers: [{ domains: ['*'], ...writer }],
        keys: { rotation: { authLagMs: 0 } },
      });
      const rotated = await place.run(['keys', 'rotate', ZONE]);
      assert.equal(rotated.code, 0, rotated.stderr);
      const { keys } = await place.entry(ZONE);
      assert.deepEqual(
        keys.map(({ state }) => state),
        ['active', 'active'],
      );
      const status = await place.run(['keys', 'status', ZONE, '--json']);
      assert.equal(status.code, 0, status.stderr);
      assert.match(status.stdout, /"address": ?"::1"/);
      const verified = await place.run(['keys', 'verify', ZONE]);
      assert.equal(verified.code, 0, verified.stderr);
    } finally {
      await place.end();
    }
  });

  it('tells relays where mail goes, over UDP and TCP', async () => {
    const resolver = new StubResolver({
      servers: [bind.server],
      timeoutMs: 3000,
      attempts: 2,
      cacheEntries: 100,
      maxTtlS: 86_400,
      maxNegativeTtlS: 120,
      clock: systemClock,
    });
    try {
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
      const result = await router.candidates(router.destinationFor(ZONE));
      assert.ok(result.ok, JSON.stringify(result));
      assert.deepEqual(
        result.candidates.map(({ host, addresses }) => `${host} ${addresses.join(' ')}`),
        [`mx.${ZONE} 2001:db8::1 192.0.2.1`],
      );
      const long = await resolver.resolve(`long.${ZONE}`, 'TXT');
      assert.ok(long.kind === 'records', JSON.stringify(long));
      assert.equal(Buffer.concat([...(long.records[0] ?? [])]).length, 2000);
    } finally {
      resolver.close();
    }
  });
});
