import assert from 'node:assert/strict';
import { systemClock } from '../../../../src/base/clock.ts';
import { checkSeen, type SeenExpectation } from '../../../../src/keys/dns/seen.ts';
import { seenOptions } from '../../../../src/keys/dns/seen-options.ts';
import type { SeenReport } from '../../../../src/keys/dns/seen-report.ts';
import { seenByServers } from '../../../../src/keys/lifecycle/look-at-dns.ts';
import { type DnsFault, startDns } from '../../../support/dns.ts';
import { forwardDns } from '../../../support/dns-forwarder.ts';
import { type DnsLab, startDnsLab } from '../../../support/dns-lab.ts';
import { freePort } from '../../../support/free-port.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { requirePeer } from '../../../support/peers.ts';
import { startSilentDns } from '../../../support/silent-dns.ts';
import { delegation, KEY, NS, OTHER, ROOT, RSA4096, SERVERS, TXT } from './seen-zones.ts';

describe('the check "seen in DNS", against real BINDs', () => {
  let lab: DnsLab;

  let named: string;

  before(async function () {
    named = requirePeer(this, 'named');
    lab = await startDnsLab(named, SERVERS);
  });

  after(() => lab?.close());

  function see(
    domain: string,
    record: SeenExpectation['record'] = { kind: 'key', key: KEY },
    more: Partial<Parameters<typeof checkSeen>[1]> & { selector?: string } = {},
  ): Promise<SeenReport> {
    const { selector = 's', ...options } = more;
    return checkSeen(
      { domain, selector, record },
      {
        hints: [{ zone: '', servers: [{ address: '127.0.0.1', port: lab.port }] }],
        port: lab.port,
        resolvers: [],
        timeoutMs: 3000,
        clock: systemClock,
        ...options,
      },
    );
  }

  it('sees a record that all addresses of all servers have', async () => {
    const report = await see('good.test');
    assert.equal(report.verdict, 'seen', report.summary);
    assert.deepEqual(
      report.servers.map(({ host, address, verdict }) => [host, address, verdict]).toSorted(),
      [
        ['ns1.good.test', '127.0.0.2', 'seen'],
        ['ns2.good.test', '127.0.0.3', 'seen'],
      ],
    );
    assert.equal(report.settleMs, 300_000);
    assert.deepEqual(report.warnings, []);
  });

  const verdicts = (report: SeenReport) =>
    report.servers.map(({ address, verdict }) => `${address} ${verdict}`).toSorted();
  const detailAt = (report: SeenReport, address: string) =>
    report.servers.find((answer) => answer.address === address)?.detail ?? '';

  it('waits for a server that does not have the record yet, and tells delay from split view', async () => {
    const late = await see('late.test');
    assert.equal(late.verdict, 'not-yet');
    assert.deepEqual(verdicts(late), ['127.0.0.2 absent', '127.0.0.3 seen']);
    assert.match(detailAt(late, '127.0.0.2'), /its zone is older \(serial 1, elsewhere 7\)/);
  });

  it('says when two servers of equal serial show different zones', async () => {
    const split = await startDnsLab(named, [
      {
        address: '127.0.0.1',
        zones: { '.': ROOT, test: `@ IN NS ns\nns IN A 127.0.0.1${delegation('split')}` },
      },
      { address: '127.0.0.2', zones: { 'split.test': `${NS}\ns._domainkey IN ${TXT}` } },
      { address: '127.0.0.3', zones: { 'split.test': `${NS}\ns._domainkey IN ${OTHER}` } },
    ]);
    try {
      const hints = [{ zone: '', servers: [{ address: '127.0.0.1', port: split.port }] }];
      const report = await see('split.test', undefined, { hints, port: split.port });
      assert.equal(report.verdict, 'conflict');
      assert.deepEqual(verdicts(report), ['127.0.0.2 seen', '127.0.0.3 mismatch']);
      assert.match(detailAt(report, '127.0.0.3'), /p= is another key; .*split view/);
      const none = await see('split.test', undefined, {
        hints,
        port: split.port,
        selector: 'gone',
      });
      assert.equal(none.verdict, 'not-yet');
      assert.deepEqual(verdicts(none), ['127.0.0.2 absent', '127.0.0.3 absent']);
    } finally {
      await split.close();
    }
  });

  it('names a server that does not serve the zone, and one that is silent', async () => {
    const dead = await see('dead.test');
    assert.equal(dead.verdict, 'not-yet');
    assert.deepEqual(verdicts(dead), ['127.0.0.2 seen', '127.0.0.9 unreachable']);
    const lame = await see('lame.test');
    assert.equal(lame.verdict, 'not-yet');
    assert.deepEqual(verdicts(lame), ['127.0.0.2 seen', '127.0.0.4 lame']);
    assert.match(lame.summary, /nsx\.lame\.test \(127\.0\.0\.4\): it answers REFUSED/);
    const order = { ignored: [{ address: '127.0.0.4', reason: 'switched off tomorrow' }] };
    const ignored = await see('lame.test', undefined, order);
    assert.equal(ignored.verdict, 'seen');
    assert.deepEqual(verdicts(ignored), ['127.0.0.2 seen', '127.0.0.4 ignored']);
    assert.match(detailAt(ignored, '127.0.0.4'), /switched off tomorrow/);
  });

  it('does not believe a server that answers without authority', async () => {
    const bind = lab.servers.get('127.0.0.3');
    const at = { address: '127.0.0.2', port: await freePort() };
    const forwarder = await forwardDns(at, bind?.port ?? 0, { withoutAuthority: true });
    try {
      const hints = [{ zone: 'good.test', servers: [at] }];
      const report = await see('good.test', undefined, { hints });
      assert.equal(report.verdict, 'not-yet');
      assert.match(report.summary, /answers without authority for good\.test/);
    } finally {
      await forwarder.close();
    }
  });

  it('is not content when every server is ignored', async () => {
    const ignored = ['127.0.0.2', '127.0.0.3'].map((address) => ({ address, reason: 'test' }));
    assert.equal((await see('good.test', undefined, { ignored })).verdict, 'not-yet');
  });

  it('notices a server that refuses the delegated zone although its parent names it', async () => {
    const report = await see('alone.test');
    assert.equal(report.verdict, 'not-yet');
    assert.deepEqual(verdicts(report), ['127.0.0.2 seen', '127.0.0.3 lame']);
  });

  it('reports a name server without an address', async () => {
    const report = await see('noglue.test');
    assert.equal(report.verdict, 'not-yet');
    const lost = report.servers.find(({ host }) => host === 'ns.noglue.test');
    assert.equal(lost?.verdict, 'unreachable');
    assert.match(lost?.detail ?? '', /glue \(RFC 9471\)/);
    assert.match(report.warnings.join(), /the parent names the server ns\.noglue\.test/);
    const ignored = [{ address: 'ns.noglue.test', reason: 'never existed' }];
    assert.equal((await see('noglue.test', undefined, { ignored })).verdict, 'seen');
  });

  it('comes to an end where two zones need each other to be found', async () => {
    const report = await see('cyca.test');
    assert.equal(report.verdict, 'not-yet');
    assert.deepEqual(
      report.servers.map(({ host, verdict, detail }) => `${host} ${verdict}: ${detail}`),
      ['ns.cycb.test unreachable: no address was found'],
    );
  });

  it('follows a CNAME into another zone, to all of its servers, and waits for old TTLs', async () => {
    const report = await see('cust.test');
    assert.equal(report.verdict, 'seen', report.summary);
    assert.deepEqual(
      report.servers.map(({ zone, address, verdict }) => `${zone} ${address} ${verdict}`),
      [
        'cust.test 127.0.0.2 seen',
        'cust.test 127.0.0.3 seen',
        'keys.prov.test 127.0.0.3 seen',
        'keys.prov.test 127.0.0.2 seen',
      ],
    );
    assert.match(detailAt(report, '127.0.0.2'), /CNAME to s\.cust\.keys\.prov\.test/);
    assert.equal(report.settleMs, 4_000_000);
    const older = await see('cust.test', undefined, { oldTtlS: 86_400 });
    assert.equal(older.settleMs, 86_400_000);
    const loop = await see('loop.test');
    assert.equal(loop.verdict, 'conflict');
    assert.match(loop.warnings.join(), /form a loop/);
  });

  it('has seen nothing where a CNAME leads to a zone of which no server can be asked', async () => {
    const local = { address: '127.0.0.1', port: lab.port };
    const hints = [
      { zone: '', servers: [local] },
      { zone: 'away', servers: [{ address: '2001:db8::9', port: 53 }] },
    ];
    const report = await see('cust.test', undefined, { selector: 'away', hints, hasIpv6: false });
    assert.equal(report.verdict, 'not-yet');
    assert.equal(seenByServers(report), false);
    assert.match(report.summary, /s\.keys\.away: none of the servers on the way/);
  });

  it('does not take the answer of a wildcard for a record, and waits for its TTL', async () => {
    const report = await see('wild.test');
    assert.equal(report.verdict, 'seen');
    assert.equal(report.settleMs, 7_200_000);
    assert.match(report.warnings.join(), /a wildcard answers/);
    const missing = await see('wild.test', undefined, { selector: 'next' });
    assert.equal(missing.verdict, 'not-yet');
    assert.match(missing.summary, /only a wildcard answers/);
    // It answers right below the domain too: twice the same is still one record.
    const star = await see('star.test');
    assert.equal(star.verdict, 'not-yet', star.summary);
    assert.match(star.summary, /only a wildcard answers/);
    const alias = await see('wildcname.test');
    assert.equal(alias.verdict, 'seen', alias.summary);
    assert.equal(alias.settleMs, 900_000);
    const none = await see('wildcname.test', undefined, { selector: 'next' });
    assert.equal(none.verdict, 'not-yet', none.summary);
    assert.match(none.summary, /only a wildcard answers/);
  });

  it('tells a wrong record from a missing one', async () => {
    const two = await see('dup.test');
    assert.equal(two.verdict, 'conflict');
    assert.match(two.summary, /there are 2 TXT records/);
    assert.equal(two.servers[0]?.found.length, 2);
    const record = { kind: 'key', key: { ...KEY, publicKey: `${'A'.repeat(43)}=` } } as const;
    assert.equal((await see('good.test', record)).verdict, 'conflict');
    assert.equal((await see('good.test', undefined, { selector: 'rev' })).verdict, 'conflict');
    assert.equal((await see('good.test', undefined, { selector: 'none' })).verdict, 'not-yet');
  });

  it('sees that a key is revoked, and that a record is gone', async () => {
    const revoked = await see('good.test', { kind: 'revoked', key: KEY }, { selector: 'rev' });
    assert.equal(revoked.verdict, 'seen');
    assert.equal(revoked.settleMs, 900_000);
    const still = await see('good.test', { kind: 'revoked', key: KEY });
    assert.equal(still.verdict, 'not-yet');
    assert.match(still.summary, /the key still stands there/);
    const none = await see('good.test', { kind: 'none' }, { selector: 'none', oldTtlS: 600 });
    assert.equal(none.verdict, 'seen');
    assert.equal(none.settleMs, 600_000);
    assert.equal((await see('good.test', { kind: 'none' })).verdict, 'not-yet');
  });

  it('asks a silent server twice, and all others in good time', async () => {
    const silent = await startSilentDns(lab.port, '127.0.0.8');
    try {
      const report = await see('silent.test', undefined, { timeoutMs: 400 });
      assert.equal(report.verdict, 'not-yet');
      assert.deepEqual(verdicts(report), ['127.0.0.2 seen', '127.0.0.8 unreachable']);
      assert.match(
        detailAt(report, '127.0.0.8'),
        /no reply over UDP from 127\.0\.0\.8 within 400 ms/,
      );
      assert.equal(silent.count, 2);
    } finally {
      await silent.close();
    }
  });

  it('says that nobody on the way answers', async () => {
    const hints = [{ zone: '', servers: [{ address: '127.0.0.9', port: lab.port }] }];
    const report = await see('good.test', undefined, { hints });
    assert.equal(report.verdict, 'not-yet');
    assert.deepEqual(verdicts(report), ['127.0.0.9 unreachable']);
    assert.match(report.summary, /\(127\.0\.0\.9\): .*ECONNREFUSED/);
  });

  it('may begin at the zone itself, with the port that the hint names', async () => {
    const servers = [{ address: '127.0.0.2', port: lab.port }];
    const hints = [
      { zone: '', servers: [{ address: '127.0.0.9', port: 1 }] },
      { zone: 'alone.test', servers },
    ];
    const report = await see('alone.test', undefined, { hints, port: 1 });
    assert.deepEqual(verdicts(report), ['127.0.0.2 seen', '127.0.0.3 unreachable']);
  });

  it('does without IPv6 where the machine has none, if the server has IPv4 as well', async () => {
    const report = await see('six.test', undefined, { hasIpv6: false });
    assert.equal(report.verdict, 'not-yet');
    assert.deepEqual(verdicts(report), [
      '127.0.0.2 seen',
      '2001:db8::1 ignored',
      '2001:db8::2 unreachable',
    ]);
    const ignored = [{ address: '2001:db8::2', reason: 'asked from elsewhere' }];
    const seen = await see('six.test', undefined, { hasIpv6: false, ignored });
    assert.equal(seen.verdict, 'seen', seen.summary);
  });

  it('notices that only some servers delegate the name', async () => {
    const report = await see('half.test');
    assert.equal(report.verdict, 'not-yet');
    assert.deepEqual(
      report.servers.map(({ zone, address, verdict }) => `${zone} ${address} ${verdict}`),
      ['_domainkey.half.test 127.0.0.4 seen', 'half.test 127.0.0.3 mismatch'],
    );
    assert.match(detailAt(report, '127.0.0.3'), /does not delegate _domainkey\.half\.test/);
  });

  it('notices that only some servers have the CNAME, or that they point elsewhere', async () => {
    const some = await see('mixed.test');
    assert.equal(some.verdict, 'conflict', some.summary);
    assert.match(some.summary, /no CNAME there, and other servers do/);
    const absent = await see('mixed.test', undefined, { selector: 't' });
    assert.equal(absent.verdict, 'not-yet');
    const apart = await see('mixed.test', undefined, { selector: 'u' });
    assert.equal(apart.verdict, 'conflict');
    assert.match(apart.warnings.join(), /to different names/);
  });

  it('bounds CNAMEs and name servers', async () => {
    const long = await see('chain.test', undefined, { selector: 'c0' });
    assert.equal(long.verdict, 'conflict');
    assert.match(long.warnings.join(), /over more than 8 CNAMEs/);
    const short = await see('chain.test', undefined, { selector: 'c5' });
    assert.equal(short.verdict, 'seen', short.summary);
    const odd = await see('chain.test', undefined, { selector: 'odd' });
    assert.equal(odd.verdict, 'conflict');
    const many = await see('many.test');
    assert.equal(many.verdict, 'not-yet');
    const bounded = many.servers.filter(({ detail }) => /more than 20 name servers/.test(detail));
    assert.equal(bounded.length, 5);
  });

  it('looks at every server whether it can hand out a large record', async () => {
    const record = { kind: 'key', key: RSA4096 } as const;
    const both = await see('big.test', record);
    assert.equal(both.verdict, 'seen', both.summary);
    assert.deepEqual(both.warnings, []);
    const udpOnly = await see('big2.test', record);
    assert.equal(udpOnly.verdict, 'seen', udpOnly.summary);
    assert.match(
      udpOnly.warnings.join(),
      /ns\.big2\.test \(127\.0\.0\.5\) does not answer over TCP/,
    );
  });

  it('never asks beyond its time, and stops when told to', async () => {
    const clock = new ManualClock();
    const silent = await startSilentDns();
    try {
      const hints = [{ zone: '', servers: [{ address: '127.0.0.1', port: silent.port }] }];
      const open = see('good.test', undefined, { hints, clock, deadlineMs: 10_000 });
      await silent.asked;
      clock.advance(10_000);
      const report = await open;
      assert.equal(report.verdict, 'not-yet');
      const controller = new AbortController();
      const stopped = see('good.test', undefined, { hints, clock, signal: controller.signal });
      controller.abort(new Error('enough'));
      await assert.rejects(stopped, /enough/);
      assert.equal(clock.waiting, 0);
    } finally {
      await silent.close();
    }
  });

  it('makes a report of whatever a server sends', async () => {
    const faults: readonly (DnsFault | undefined)[] = [
      undefined,
      'servfail',
      'refused',
      'no-edns',
      'truncate',
      'truncate-tcp-closes',
      'wrong-id',
      'forged-first',
      'lame',
      'garbage',
      'empty',
      'timeout',
    ];
    const value = `v=DKIM1; k=ed25519; p=${KEY.publicKey}`;
    const verdicts: Record<string, string> = {};
    for (const fault of faults) {
      const fake = await startDns({
        'f.test': {
          NS: ['ns.f.test'],
          SOA: [
            {
              mname: 'ns.f.test',
              rname: 'h.f.test',
              serial: 1,
              refresh: 1,
              retry: 1,
              expire: 1,
              minimum: 60,
            },
          ],
        },
        'ns.f.test': { A: ['127.0.0.1'] },
        's._domainkey.f.test': { TXT: [value] },
      });
      const hints = [{ zone: 'f.test', servers: [{ address: '127.0.0.1', port: fake.port }] }];
      const timeoutMs = fault === 'timeout' || fault === 'wrong-id' ? 50 : 3000;
      for (const name of ['s._domainkey.f.test', '*']) {
        fake.fault('*', undefined);
        fake.fault(name, fault);
        const report = await see('f.test', undefined, { hints, timeoutMs });
        const [answer] = report.servers;
        verdicts[`${fault ?? 'none'} ${name === '*' ? 'always' : 'for the record'}`] =
          `${report.verdict}, ${answer?.verdict}`;
      }
      await fake.close();
    }
    const good = Object.entries(verdicts).filter(([, verdict]) => verdict === 'seen, seen');
    assert.deepEqual(
      new Set(good.map(([fault]) => fault.split(' ')[0])),
      new Set(['none', 'no-edns', 'truncate', 'forged-first']),
    );
    assert.equal(good.length, 8);
    const others = Object.values(verdicts).filter((verdict) => verdict !== 'seen, seen');
    assert.deepEqual(
      new Set(others),
      new Set(['not-yet, lame', 'not-yet, unreachable', 'not-yet, absent']),
    );
  });

  it('takes its options from the configuration', () => {
    const dns = {
      servers: [],
      timeoutMs: 700,
      attempts: 3,
      hints: [{ zone: '.', servers: ['[::1]:5353'] }],
    };
    assert.deepEqual(seenOptions(dns, ['192.0.2.1'], systemClock), {
      hints: [{ zone: '', servers: [{ address: '::1', port: 5353 }] }],
      resolvers: [{ address: '192.0.2.1', port: 53 }],
      timeoutMs: 700,
      attempts: 3,
      clock: systemClock,
    });
    const own = seenOptions({ ...dns, servers: ['192.0.2.2:54'] }, ['192.0.2.1'], systemClock);
    assert.deepEqual(own.resolvers, [{ address: '192.0.2.2', port: 54 }]);
  });
});
