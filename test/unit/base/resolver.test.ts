import assert from 'node:assert/strict';
import { systemClock } from '../../../src/base/clock.ts';
import { type Answer, type ResolverOptions, StubResolver } from '../../../src/base/resolver.ts';
import { type FakeDns, type FakeDnsOptions, startDns, type Zone } from '../../support/dns.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('StubResolver', () => {
  const opened: { close(): unknown }[] = [];

  afterEach(async () => {
    await Promise.all(opened.splice(0).map((thing) => thing.close()));
  });

  async function dns(zone: Zone = {}, options?: FakeDnsOptions): Promise<FakeDns> {
    const server = await startDns(zone, options);
    opened.push(server);
    return server;
  }

  function resolverFor(servers: FakeDns[], options: Partial<ResolverOptions> = {}): StubResolver {
    const resolver = new StubResolver({
      servers: servers.map(({ server }) => server),
      timeoutMs: 5000,
      attempts: 3,
      cacheEntries: 100,
      maxTtlS: 86_400,
      maxNegativeTtlS: 3600,
      clock: systemClock,
      ...options,
    });
    opened.push(resolver);
    return resolver;
  }

  describe('answers', () => {
    it('gives the records of every type, names normalised', async () => {
      const server = await dns({
        'example.com': {
          A: ['192.0.2.1', '192.0.2.2'],
          AAAA: ['2001:db8::1'],
          MX: [
            [10, 'MX1.Example.COM'],
            [0, 'mx0.example.com'],
          ],
          TXT: [['v=DKIM1; ', 'p=AAAA'], 'v=spf1 -all'],
          NS: ['ns.example.com'],
        },
        'www.example.com': { CNAME: ['example.com'] },
      });
      const resolver = resolverFor([server]);
      assert.deepEqual(recordsOf(await resolver.resolve('Example.COM.', 'A')), [
        '192.0.2.1',
        '192.0.2.2',
      ]);
      assert.deepEqual(recordsOf(await resolver.resolve('example.com', 'AAAA')), ['2001:db8::1']);
      assert.deepEqual(recordsOf(await resolver.resolve('example.com', 'MX')), [
        { preference: 10, exchange: 'mx1.example.com' },
        { preference: 0, exchange: 'mx0.example.com' },
      ]);
      const txt = recordsOf(await resolver.resolve('example.com', 'TXT'));
      assert.deepEqual(
        txt.map((strings) => strings.map(String)),
        [['v=DKIM1; ', 'p=AAAA'], ['v=spf1 -all']],
      );
      assert.deepEqual(recordsOf(await resolver.resolve('example.com', 'NS')), ['ns.example.com']);
      assert.deepEqual(recordsOf(await resolver.resolve('www.example.com', 'CNAME')), [
        'example.com',
      ]);
    });

    it('shows a null MX as the empty exchange', async () => {
      const server = await dns({ 'null.example': { MX: [[0, '.']] } });
      const answer = await resolverFor([server]).resolve('null.example', 'MX');
      assert.deepEqual(recordsOf(answer), [{ preference: 0, exchange: '' }]);
    });

    it('tells "no such name" from "no such data"', async () => {
      const server = await dns({ 'host.example': { A: ['192.0.2.1'] } });
      const resolver = resolverFor([server]);
      assert.equal((await resolver.resolve('absent.example', 'A')).kind, 'nxdomain');
      assert.equal((await resolver.resolve('host.example', 'MX')).kind, 'nodata');
      assert.equal((await resolver.resolve('example', 'A')).kind, 'nodata');
    });

    it('asks nothing for a name that the DNS cannot hold', async () => {
      const server = await dns();
      const resolver = resolverFor([server]);
      for (const name of [`${'a'.repeat(64)}.example`, 'a..example', 'a b.example', 'ä.example']) {
        assert.equal((await resolver.resolve(name, 'A')).kind, 'nxdomain', name);
      }
      assert.equal(server.queries.length, 0);
    });

    it('uses a new source port for each query', async () => {
      const server = await dns();
      const resolver = resolverFor([server]);
      const names = Array.from({ length: 8 }, (_, index) => `n${index}.example`);
      await Promise.all(names.map((name) => resolver.resolve(name, 'A')));
      assert.ok(new Set(server.queries.map(({ port }) => port)).size > 4);
      assert.ok(server.queries.every(({ edns }) => edns));
    });
  });

  describe('CNAME', () => {
    it('follows a chain inside the answer, least TTL first', async () => {
      const server = await dns({ 'c.example': { A: ['192.0.2.1'] } });
      server.set('a.example', 'CNAME', ['b.example'], 500);
      server.set('b.example', 'CNAME', ['c.example'], 20);
      const answer = await resolverFor([server]).resolve('a.example', 'A');
      assert.deepEqual(answer, {
        kind: 'records',
        name: 'c.example',
        records: ['192.0.2.1'],
        ttlS: 20,
      });
      assert.equal(server.queries.length, 1);
    });

    it('asks for the target when the answer ends before it', async () => {
      const zone: Zone = {
        'a.example': { CNAME: ['b.example'] },
        'b.example': { CNAME: ['c.example'] },
        'c.example': { A: ['192.0.2.1'] },
      };
      const server = await dns(zone, { oneCname: true });
      const answer = await resolverFor([server]).resolve('a.example', 'A');
      assert.deepEqual(recordsOf(answer), ['192.0.2.1']);
      assert.deepEqual(
        server.queries.map(({ name }) => name),
        ['a.example', 'b.example', 'c.example'],
      );
    });

    it('says what is missing at its end', async () => {
      const server = await dns({
        'a.example': { CNAME: ['gone.test'] },
        'b.example': { CNAME: ['c.example'] },
        'c.example': { TXT: ['x'] },
      });
      const resolver = resolverFor([server]);
      const gone = await resolver.resolve('a.example', 'A');
      assert.deepEqual(
        [gone.kind, gone.kind === 'nxdomain' && gone.name],
        ['nxdomain', 'gone.test'],
      );
      const empty = await resolver.resolve('b.example', 'A');
      assert.deepEqual(
        [empty.kind, empty.kind === 'nodata' && empty.name],
        ['nodata', 'c.example'],
      );
    });

    for (const oneCname of [false, true]) {
      const how = oneCname ? 'over several queries' : 'in one answer';
      it(`stops at a loop ${how}`, async () => {
        const zone: Zone = {
          'a.example': { CNAME: ['b.example'] },
          'b.example': { CNAME: ['a.example'] },
          'self.example': { CNAME: ['self.example'] },
        };
        const resolver = resolverFor([await dns(zone, { oneCname })]);
        const [a, b, self] = await Promise.all([
          resolver.resolve('a.example', 'A'),
          resolver.resolve('b.example', 'A'),
          resolver.resolve('self.example', 'A'),
        ]);
        assert.deepEqual([a, b, self].map(failureOf), ['cname-loop', 'cname-loop', 'cname-loop']);
      });

      it(`follows 8 and no more ${how}`, async () => {
        const zone: Record<string, Zone[string]> = { 'n0.example': { A: ['192.0.2.1'] } };
        for (let n = 1; n <= 9; n += 1) zone[`n${n}.example`] = { CNAME: [`n${n - 1}.example`] };
        const server = await dns(zone, { oneCname });
        const eight = await resolverFor([server]).resolve('n8.example', 'A');
        assert.deepEqual(recordsOf(eight), ['192.0.2.1']);
        const nine = await resolverFor([server]).resolve('n9.example', 'A');
        assert.equal(failureOf(nine), 'cname-chain-too-long');
      });
    }
  });

  describe('transport', () => {
    it('goes to TCP when the answer is truncated', async () => {
      const long = Array.from({ length: 20 }, (_, n) => `${n}${'x'.repeat(200)}`);
      const server = await dns({ 'big.example': { TXT: [long] } });
      server.fault('big.example', 'truncate');
      const [strings] = recordsOf(await resolverFor([server]).resolve('big.example', 'TXT'));
      assert.deepEqual(strings?.map(String), long);
      assert.deepEqual(
        server.queries.map(({ transport }) => transport),
        ['udp', 'tcp'],
      );
    });

    it('tries the next server when TCP gives nothing', async () => {
      const bad = await dns();
      bad.fault('*', 'truncate-tcp-closes');
      const good = await dns({ 'a.example': { A: ['192.0.2.1'] } });
      const answer = await resolverFor([bad, good]).resolve('a.example', 'A');
      assert.deepEqual(recordsOf(answer), ['192.0.2.1']);
    });

    it('does without EDNS where the server refuses it', async () => {
      const server = await dns({ 'a.example': { A: ['192.0.2.1'] } });
      server.fault('*', 'no-edns');
      const answer = await resolverFor([server]).resolve('a.example', 'A');
      assert.deepEqual(recordsOf(answer), ['192.0.2.1']);
      assert.deepEqual(
        server.queries.map(({ edns }) => edns),
        [true, false],
      );
    });

    it('waits for the true answer among forged ones', async () => {
      const server = await dns({ 'a.example': { A: ['192.0.2.1'] } });
      server.fault('*', 'forged-first');
      const answer = await resolverFor([server]).resolve('a.example', 'A');
      assert.deepEqual(recordsOf(answer), ['192.0.2.1']);
      assert.equal(server.queries.length, 1);
    });

    for (const fault of ['timeout', 'wrong-id'] as const) {
      it(`asks each server in turn and fails when all give: ${fault}`, async () => {
        const [one, two] = [await dns(), await dns()];
        one.fault('*', fault);
        two.fault('*', fault);
        const clock = new ManualClock();
        const answer = resolverFor([one, two], { clock }).resolve('a.example', 'A');
        for (const asked of [1, 2, 3]) {
          const count = () => one.queries.length + two.queries.length;
          await waitFor(`query ${asked}`, () => count() === asked && clock.waiting === 1);
          clock.advance(5000);
        }
        assert.equal(failureOf(await answer), 'timeout');
        assert.deepEqual([one.queries.length, two.queries.length], [2, 1]);
      });
    }

    it('starts behind a server that was silent', async () => {
      const [silent, good] = [await dns(), await dns()];
      silent.fault('*', 'timeout');
      const clock = new ManualClock();
      const resolver = resolverFor([silent, good], { clock });
      const first = resolver.resolve('a.example', 'A');
      await waitFor('the first query', () => silent.queries.length === 1);
      clock.advance(5000);
      await first;
      await resolver.resolve('b.example', 'A');
      assert.deepEqual([silent.queries.length, good.queries.length], [1, 2]);
    });

    const useless = {
      servfail: 'servfail',
      refused: 'refused',
      lame: 'lame',
      garbage: 'malformed',
    } as const;
    for (const [fault, reason] of Object.entries(useless)) {
      it(`asks the next server after ${fault}, and says so when there is none`, async () => {
        const bad = await dns();
        bad.fault('*', fault as keyof typeof useless);
        const good = await dns({ 'a.example': { A: ['192.0.2.1'] } });
        const answer = await resolverFor([bad, good]).resolve('a.example', 'A');
        assert.deepEqual(recordsOf(answer), ['192.0.2.1']);
        const failed = await resolverFor([bad]).resolve('a.example', 'A');
        assert.equal(failureOf(failed), reason);
        assert.equal(bad.queries.length, 2);
      });
    }

    it('notices a server that is not there', async () => {
      const gone = await startDns();
      await gone.close();
      const answer = await resolverFor([gone]).resolve('a.example', 'A');
      assert.equal(failureOf(answer), 'unreachable');
    });
  });

  describe('cache', () => {
    it('keeps an answer for its TTL and counts it down', async () => {
      const clock = new ManualClock();
      const server = await dns({ 'a.example': { A: ['192.0.2.1'] } }, { ttlS: 100 });
      const resolver = resolverFor([server], { clock });
      await resolver.resolve('a.example', 'A');
      clock.advance(60_000);
      const later = await resolver.resolve('A.example', 'A');
      assert.equal(later.kind === 'records' && later.ttlS, 40);
      assert.equal(server.queries.length, 1);
      clock.advance(40_000);
      await resolver.resolve('a.example', 'A');
      assert.equal(server.queries.length, 2);
    });

    it('bounds a huge TTL, positive and negative', async () => {
      const clock = new ManualClock();
      const zone: Zone = { 'a.example': { A: ['192.0.2.1'] } };
      const server = await dns(zone, { ttlS: 0x7fffffff, negativeTtlS: 0x7fffffff });
      const resolver = resolverFor([server], { clock, maxTtlS: 60, maxNegativeTtlS: 30 });
      const positive = await resolver.resolve('a.example', 'A');
      const negative = await resolver.resolve('gone.example', 'A');
      assert.equal(positive.kind === 'records' && positive.ttlS, 60);
      assert.equal(negative.kind === 'nxdomain' && negative.ttlS, 30);
    });

    it('keeps nothing with a TTL of 0, nor with one whose top bit is set', async () => {
      const server = await dns();
      server.set('zero.example', 'A', ['192.0.2.1'], 0);
      server.set('odd.example', 'A', ['192.0.2.1'], 0xffffffff);
      const resolver = resolverFor([server]);
      for (const name of ['zero.example', 'odd.example']) {
        await resolver.resolve(name, 'A');
        await resolver.resolve(name, 'A');
        assert.equal(server.count(name), 2, name);
      }
    });

    it('keeps a negative answer for the least of SOA TTL and MINIMUM, and none without SOA', async () => {
      const clock = new ManualClock();
      const server = await dns({ 'host.example': { TXT: ['x'] } }, { negativeTtlS: 30 });
      server.fault('bare.example', 'empty');
      const resolver = resolverFor([server], { clock });
      for (const name of ['gone.example', 'host.example', 'bare.example']) {
        await resolver.resolve(name, 'A');
        await resolver.resolve(name, 'A');
      }
      assert.equal(server.count('gone.example'), 1);
      assert.equal(server.count('host.example'), 1);
      assert.equal(server.count('bare.example'), 2);
      clock.advance(30_000);
      await resolver.resolve('gone.example', 'A');
      assert.equal(server.count('gone.example'), 2);
    });

    it('remembers a failure for a moment', async () => {
      const clock = new ManualClock();
      const server = await dns({ 'a.example': { A: ['192.0.2.1'] } });
      server.fault('*', 'servfail');
      const resolver = resolverFor([server], { clock, failureTtlS: 5 });
      await resolver.resolve('a.example', 'A');
      server.fault('*', undefined);
      assert.equal(failureOf(await resolver.resolve('a.example', 'A')), 'servfail');
      assert.equal(server.queries.length, 1);
      clock.advance(5000);
      assert.equal((await resolver.resolve('a.example', 'A')).kind, 'records');
    });

    it('forgets the least recently used', async () => {
      const server = await dns({}, { negativeTtlS: 60 });
      const resolver = resolverFor([server], { cacheEntries: 2 });
      for (const name of ['a.example', 'b.example', 'a.example', 'c.example', 'a.example']) {
        await resolver.resolve(name, 'A');
      }
      assert.deepEqual([server.count('a.example'), server.count('b.example')], [1, 1]);
      await resolver.resolve('b.example', 'A');
      assert.equal(server.count('b.example'), 2);
    });
  });

  describe('many at once', () => {
    it('asks an identical question once', async () => {
      const server = await dns({ 'a.example': { A: ['192.0.2.1'] } }, { ttlS: 0 });
      server.hold();
      const resolver = resolverFor([server]);
      const answers = Array.from({ length: 20 }, () => resolver.resolve('a.example', 'A'));
      server.release();
      for (const answer of await Promise.all(answers)) {
        assert.deepEqual(recordsOf(answer), ['192.0.2.1']);
      }
      assert.equal(server.queries.length, 1);
    });

    it('ends the wait of the caller that aborts, and no other', async () => {
      const server = await dns({ 'a.example': { A: ['192.0.2.1'] } });
      server.hold();
      const resolver = resolverFor([server]);
      const abort = new AbortController();
      const aborted = resolver.resolve('a.example', 'A', abort.signal);
      const other = resolver.resolve('a.example', 'A', new AbortController().signal);
      abort.abort(new Error('client gone'));
      await assert.rejects(aborted, /client gone/);
      await assert.rejects(resolver.resolve('a.example', 'A', abort.signal), /client gone/);
      server.release();
      assert.deepEqual(recordsOf(await other), ['192.0.2.1']);
    });

    it('holds no more queries open than allowed', async () => {
      const server = await dns({}, { negativeTtlS: 0 });
      server.hold();
      const resolver = resolverFor([server], { maxInFlight: 3 });
      const answers = Array.from({ length: 9 }, (_, n) => resolver.resolve(`n${n}.example`, 'A'));
      let most = 0;
      const watch = setInterval(() => {
        most = Math.max(most, server.heldCount);
        if (server.heldCount >= 3) server.releaseHeld();
        else if (server.queries.length === 9) server.releaseHeld();
      }, 1);
      await Promise.all(answers);
      clearInterval(watch);
      assert.equal(most, 3);
      assert.equal(server.queries.length, 9);
    });

    it('turns away who would wait too long for a turn', async () => {
      const clock = new ManualClock();
      const server = await dns();
      server.hold();
      const resolver = resolverFor([server], { clock, maxInFlight: 1, timeoutMs: 10, attempts: 1 });
      const first = resolver.resolve('a.example', 'A');
      const second = resolver.resolve('b.example', 'A');
      await waitFor('both timers', () => clock.waiting === 2);
      clock.advance(10);
      const reasons = [failureOf(await first), failureOf(await second)];
      assert.deepEqual(reasons, ['timeout', 'overloaded']);
    });

    it('ends what is under way when closed', async () => {
      const server = await dns();
      server.hold();
      const resolver = resolverFor([server]);
      const pending = resolver.resolve('a.example', 'A');
      resolver.close();
      assert.equal(failureOf(await pending), 'closed');
      assert.equal(failureOf(await resolver.resolve('b.example', 'A')), 'closed');
    });
  });

  it('refuses a server that is no address, and no server at all', () => {
    const options = { timeoutMs: 1, attempts: 1, cacheEntries: 1, maxTtlS: 1, maxNegativeTtlS: 1 };
    for (const text of ['dns.example', '192.0.2.1:0', '192.0.2.1:65536', '[::1', '1.2.3']) {
      assert.throws(
        () => new StubResolver({ ...options, servers: [text], clock: systemClock }),
        { code: 'dns-server-invalid' },
        text,
      );
    }
    assert.throws(() => new StubResolver({ ...options, servers: [], clock: systemClock }), {
      code: 'dns-server-invalid',
    });
  });
});

function recordsOf<Data>(answer: { kind: string; records?: readonly Data[] }): readonly Data[] {
  assert.equal(answer.kind, 'records', JSON.stringify(answer));
  return answer.records ?? [];
}

function failureOf(answer: Answer): string | undefined {
  return answer.kind === 'failure' ? answer.reason : undefined;
}
