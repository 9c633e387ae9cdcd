import assert from 'node:assert/strict';
import { systemClock } from '../../../src/base/clock.ts';
import { StubResolver } from '../../../src/base/resolver.ts';
import { Router, type RouterOptions } from '../../../src/relay/route.ts';
import { type FakeDns, startDns, type Zone } from '../../support/dns.ts';

/** 192.0.2.0/24 and 2001:db8::/32 are for documentation, and count as public. */
const V4 = '192.0.2.1';
const V6 = '2001:db8::1';

describe('Router', () => {
  let dns: FakeDns;
  let resolver: StubResolver;

  async function routerOver(
    zone: Zone,
    options: Partial<RouterOptions> = {},
    timeoutMs = 10_000,
  ): Promise<Router> {
    dns = await startDns(zone);
    resolver = new StubResolver({
      servers: [dns.server],
      timeoutMs,
      attempts: 1,
      cacheEntries: 100,
      maxTtlS: 100,
      maxNegativeTtlS: 100,
      clock: systemClock,
    });
    return new Router({
      resolver,
      routes: [],
      smarthost: undefined,
      mx: { port: 25, tls: 'opportunistic' },
      allowPrivate: false,
      allowAddressLiterals: false,
      ownNames: ['relay.test'],
      ownEndpoints: [{ address: '192.0.2.25', port: 25 }],
      random: () => 0.999,
      ...options,
    });
  }

  afterEach(async () => {
    resolver.close();
    await dns.close();
  });

  describe('finds', () => {
    it('the MXs by preference, IPv6 and IPv4 in turn', async () => {
      const router = await routerOver({
        'a.test': {
          MX: [
            [20, 'mx2.test'],
            [10, 'mx1.test'],
          ],
        },
        'mx1.test': { A: [V4, '192.0.2.2'], AAAA: [V6] },
        'mx2.test': { AAAA: ['2001:db8::2'] },
      });
      assert.deepEqual(await found(router, 'a.test'), [
        { host: 'mx1.test', addresses: [V6, V4, '192.0.2.2'] },
        { host: 'mx2.test', addresses: ['2001:db8::2'] },
      ]);
    });

    it('the domain itself when it has no MX', async () => {
      const router = await routerOver({ 'a.test': { A: [V4] } });
      assert.deepEqual(await found(router, 'a.test'), [{ host: 'a.test', addresses: [V4] }]);
    });

    it('an MX behind a CNAME, under the name in the MX record', async () => {
      const router = await routerOver({
        'a.test': { MX: [[10, 'mx.test']] },
        'mx.test': { CNAME: ['real.test'] },
        'real.test': { A: [V4] },
      });
      assert.deepEqual(await found(router, 'a.test'), [{ host: 'mx.test', addresses: [V4] }]);
    });

    it('the MXs that answer, when others fail or do not exist', async () => {
      const router = await routerOver({
        'a.test': {
          MX: [
            [1, 'gone.test'],
            [2, 'broken.test'],
            [3, '192.0.2.9'],
            [4, 'private.test'],
            [5, 'good.test'],
          ],
        },
        'private.test': { A: ['10.0.0.1'] },
        'good.test': { A: [V4, '127.0.0.1'] },
      });
      dns.fault('broken.test', 'servfail');
      dns.fault('good.test', 'servfail', 'AAAA');
      assert.deepEqual(await found(router, 'a.test'), [{ host: 'good.test', addresses: [V4] }]);
      assert.equal(dns.count('192.0.2.9'), 0);
    });

    it('the addresses of at most 20 MXs, and of each at most 16', async () => {
      const names = Array.from({ length: 30 }, (_, n) => `mx${n}.test`);
      const zone: Record<string, Zone[string]> = {
        'a.test': { MX: names.map((name, n) => [n, name] as const) },
      };
      for (const name of names) {
        zone[name] = { A: Array.from({ length: 40 }, (_, n) => `192.0.2.${n + 100}`) };
      }
      const candidates = await found(await routerOver(zone), 'a.test');
      assert.deepEqual(
        candidates.map(({ host }) => host),
        names.slice(0, 20),
      );
      assert.ok(candidates.every(({ addresses }) => addresses.length === 16));
      assert.equal(dns.queries.filter(({ type }) => type === 'A').length, 20);
    });

    it('hosts that pass the check, whatever the DNS says a moment later', async () => {
      const router = await routerOver({ 'a.test': { MX: [[1, 'mx.test']] } });
      dns.setInTurn('mx.test', 'A', [[V4], ['127.0.0.1']]);
      assert.deepEqual(await found(router, 'a.test'), [{ host: 'mx.test', addresses: [V4] }]);
      assert.equal(dns.count('mx.test', 'A'), 1);
      assert.equal(await refusal(router, 'a.test'), '550 5.4.6 route.not-public');
    });

    it('answers from the cache without a further query', async () => {
      const router = await routerOver({
        'a.test': { MX: [[1, 'mx.test']] },
        'mx.test': { A: [V4] },
      });
      await found(router, 'a.test');
      const before = dns.queries.length;
      await found(router, 'a.test');
      assert.equal(dns.queries.length, before);
    });

    it('private addresses where allowed', async () => {
      const router = await routerOver({ 'a.test': { A: ['127.0.0.1'] } }, { allowPrivate: true });
      assert.deepEqual(await found(router, 'a.test'), [
        { host: 'a.test', addresses: ['127.0.0.1'] },
      ]);
    });
  });

  describe('refuses', () => {
    const mx = (...names: string[]) => ({ MX: names.map((name, n) => [n, name] as const) });
    const zone: Zone = {
      'null.test': { MX: [[0, '.']] },
      'txt-only.test': { TXT: ['x'] },
      'dangling.test': mx('gone.test'),
      'literal-mx.test': mx('192.0.2.1', '[192.0.2.1]', '2001:db8::1'),
      'private.test': mx('inside.test'),
      'inside.test': { A: ['10.0.0.1', '169.254.169.254'], AAAA: ['::1', 'fd00::1'] },
      'mapped.test': { AAAA: ['::ffff:10.0.0.1', '64:ff9b::7f00:1'] },
      'cname-loop.test': { CNAME: ['cname-loop.test'] },
      'half.test': mx('gone.test', 'broken.test', 'inside.test'),
      'us.test': mx('relay.test', 'good.test'),
      'our-address.test': mx('alias-of-us.test', 'good.test'),
      'alias-of-us.test': { A: ['192.0.2.25'] },
      'good.test': { A: [V4] },
    };
    const expected: Record<string, string> = {
      'missing.test': '550 5.1.2 route.no-such-domain',
      'txt-only.test': '550 5.1.2 route.no-such-domain',
      [`${'a'.repeat(64)}.test`]: '550 5.1.2 route.no-such-domain',
      '192.0.2.1': '550 5.1.2 route.no-such-domain',
      '': '550 5.1.2 route.no-domain',
      'null.test': '556 5.1.10 route.null-mx',
      'dangling.test': '550 5.4.4 route.no-address',
      'literal-mx.test': '550 5.4.4 route.no-address',
      'private.test': '550 5.4.6 route.not-public',
      'mapped.test': '550 5.4.6 route.not-public',
      'half.test': '451 4.4.3 route.dns-failed',
      'cname-loop.test': '451 4.4.3 route.dns-failed',
      'broken.test': '451 4.4.3 route.dns-failed',
      'us.test': '550 5.4.6 route.loop',
      'relay.test': '550 5.4.6 route.loop',
      'our-address.test': '550 5.4.6 route.loop',
      '[192.0.2.1]': '550 5.4.4 route.address-literal',
      '[IPv6:2001:db8::1]': '550 5.4.4 route.address-literal',
      '[mx.test]': '550 5.1.3 route.address-literal',
      '[2001:db8::1]': '550 5.1.3 route.address-literal',
    };
    for (const [domain, reply] of Object.entries(expected)) {
      it(`"${domain}" with ${reply}`, async () => {
        const router = await routerOver({ ...zone, 'relay.test': { TXT: ['x'] } });
        dns.fault('broken.test', 'servfail');
        assert.equal(await refusal(router, domain), reply);
      });
    }

    it('with 451 4.4.3 when the DNS is silent', async () => {
      const router = await routerOver(zone, {}, 30);
      dns.fault('*', 'timeout');
      assert.equal(await refusal(router, 'good.test'), '451 4.4.3 route.dns-failed');
    });

    it('and names the domain and what was looked up', async () => {
      const router = await routerOver(zone);
      dns.fault('broken.test', 'servfail');
      const result = await router.candidates(router.destinationFor('half.test'));
      assert.ok(!result.ok);
      assert.match(result.reply.lines.join(), /^half\.test: .*broken\.test.*SERVFAIL.*try again/);
    });
  });

  describe('our own place among the MXs', () => {
    it('discards the same and higher preference numbers, keeps the lower', async () => {
      const router = await routerOver({
        'a.test': {
          MX: [
            [10, 'first.test'],
            [20, 'Relay.TEST'],
            [20, 'equal.test'],
            [30, 'last.test'],
          ],
        },
        'first.test': { A: [V4] },
        'equal.test': { A: ['192.0.2.2'] },
        'last.test': { A: ['192.0.2.3'] },
      });
      assert.deepEqual(await found(router, 'a.test'), [{ host: 'first.test', addresses: [V4] }]);
    });

    it('is found by address too', async () => {
      const router = await routerOver({
        'a.test': {
          MX: [
            [10, 'first.test'],
            [20, 'hidden.test'],
            [30, 'last.test'],
          ],
        },
        'first.test': { A: [V4] },
        'hidden.test': { A: ['192.0.2.3', '192.0.2.25'] },
        'last.test': { A: ['192.0.2.4'] },
      });
      assert.deepEqual(await found(router, 'a.test'), [{ host: 'first.test', addresses: [V4] }]);
    });
  });

  describe('address literals, where allowed', () => {
    const literals = { allowAddressLiterals: true };

    it('are used without a look-up', async () => {
      const router = await routerOver({}, literals);
      assert.deepEqual(await found(router, '[192.0.2.1]'), [{ host: V4, addresses: [V4] }]);
      assert.deepEqual(await found(router, '[ipv6:2001:db8::1]'), [{ host: V6, addresses: [V6] }]);
      assert.equal(dns.queries.length, 0);
    });

    it('are held to the rules for private and own addresses', async () => {
      const router = await routerOver({}, literals);
      assert.equal(await refusal(router, '[127.0.0.1]'), '550 5.4.6 route.not-public');
      assert.equal(await refusal(router, '[IPv6:fe80::1]'), '550 5.4.6 route.not-public');
      assert.equal(await refusal(router, '[192.0.2.25]'), '550 5.4.6 route.loop');
    });
  });

  describe('configured hosts', () => {
    const smarthost = (...hosts: string[]) => ({
      smarthost: { hosts, port: 25, tls: 'encrypt', credentials: undefined } as const,
    });

    it('are looked up without MX and kept in order, private or not', async () => {
      const zone: Zone = {
        'hub2.test': { A: ['10.0.0.2'], MX: [[1, 'mx.test']] },
        'hub1.test': { A: ['10.0.0.1'], AAAA: ['fd00::1'] },
      };
      const options = smarthost(
        'hub2.test',
        '10.0.0.3',
        'gone.test',
        'hub1.test',
        '[IPv6:::1]',
        '::1',
      );
      const router = await routerOver(zone, options);
      assert.deepEqual(await found(router, 'anything.test'), [
        { host: 'hub2.test', addresses: ['10.0.0.2'] },
        { host: '10.0.0.3', addresses: ['10.0.0.3'] },
        { host: 'hub1.test', addresses: ['fd00::1', '10.0.0.1'] },
        { host: '[IPv6:::1]', addresses: ['::1'] },
        { host: '::1', addresses: ['::1'] },
      ]);
      assert.equal(dns.queries.filter(({ type }) => type === 'MX').length, 0);
    });

    it('that cannot be found never make a bounce', async () => {
      const router = await routerOver({}, smarthost('gone.test'));
      assert.equal(await refusal(router, 'anything.test'), '451 4.3.5 route.host-not-found');
    });

    it('whose look-up fails are tried again later', async () => {
      const router = await routerOver({}, smarthost('gone.test', 'broken.test'));
      dns.fault('broken.test', 'servfail');
      assert.equal(await refusal(router, 'anything.test'), '451 4.4.3 route.dns-failed');
    });
  });

  it('rejects with the reason of its signal, and only then', async () => {
    const router = await routerOver({ 'a.test': { A: [V4] } });
    const signal = AbortSignal.abort(new Error('client gone'));
    await assert.rejects(router.candidates(router.destinationFor('a.test'), signal), /client gone/);
  });
});

async function found(router: Router, domain: string) {
  const result = await router.candidates(router.destinationFor(domain));
  assert.ok(result.ok, result.ok ? '' : result.reply.lines.join());
  return result.candidates;
}

async function refusal(router: Router, domain: string): Promise<string> {
  const result = await router.candidates(router.destinationFor(domain));
  assert.ok(!result.ok, 'it was not refused');
  const { code, enhanced, rule, lines } = result.reply;
  assert.ok(lines.every((line) => line.length > 0 && /^[ -~]+$/.test(line)));
  return `${code} ${enhanced} ${rule}`;
}
