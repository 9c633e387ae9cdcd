import assert from 'node:assert/strict';
import { systemClock } from '../../../../src/base/clock.ts';
import { checkSeen, type SeenOptions } from '../../../../src/keys/dns/seen.ts';
import { seenOptions } from '../../../../src/keys/dns/seen-options.ts';
import type { SeenReport } from '../../../../src/keys/dns/seen-report.ts';
import { type Bind, startBind } from '../../../support/bind.ts';
import { requireIpv6Loopback, requirePeer } from '../../../support/peers.ts';
import { KEY, TXT } from './seen-zones.ts';

/** One name server with an address of each family, as most have. */
const ZONE = `
@ IN NS ns
ns IN A 127.0.0.1
ns IN AAAA ::1`;
const RECORD = `s._domainkey IN ${TXT}`;

describe('the check "seen in DNS" over IPv6, against BINDs on 127.0.0.1 and ::1', () => {
  let ipv4: Bind;
  /** Serves `late.test` without the record. */
  let ipv6: Bind;

  before(async function () {
    requireIpv6Loopback(this);
    const named = requirePeer(this, 'named');
    ipv4 = await startBind(named, {
      'both.test': `${ZONE}\n${RECORD}`,
      'late.test': `${ZONE}\n${RECORD}`,
    });
    ipv6 = await startBind(
      named,
      {
        'both.test': `${ZONE}\n${RECORD}`,
        'late.test': ZONE,
        'six.test': `@ IN NS ns\nns IN AAAA ::1\n${RECORD}`,
      },
      { listenOn: ['::1'] },
    );
  });

  after(async () => {
    await ipv4?.close();
    await ipv6?.close();
  });

  /** Options as the configuration gives them. */
  async function see(
    zone: string,
    hints: readonly string[],
    more: Partial<SeenOptions> & { servers?: readonly string[] } = {},
  ): Promise<SeenReport> {
    const { servers = [], ...others } = more;
    const dns = { servers, timeoutMs: 3000, attempts: 2, hints: [{ zone, servers: hints }] };
    return await checkSeen(
      { domain: zone, selector: 's', record: { kind: 'key', key: KEY } },
      { ...seenOptions(dns, [], systemClock), ...others },
    );
  }

  const verdicts = (report: SeenReport) =>
    report.servers.map(({ address, verdict }) => `${address} ${verdict}`).toSorted();

  it('asks the IPv6 address of a name server as well as its IPv4 address', async () => {
    const report = await see('both.test', [ipv4.server, ipv6.server]);
    assert.equal(report.verdict, 'seen', report.summary);
    assert.deepEqual(verdicts(report), ['127.0.0.1 seen', '::1 seen']);
    assert.match((await ipv6.queryLog('s._domainkey.both.test')).join(), /IN TXT/);
  });

  it('says that it is not yet seen where only the IPv4 address shows it, and names the other', async () => {
    const report = await see('late.test', [ipv4.server, ipv6.server]);
    assert.equal(report.verdict, 'not-yet');
    assert.deepEqual(verdicts(report), ['127.0.0.1 seen', '::1 absent']);
    assert.match(report.summary, /ns\.late\.test \(::1\): there is no TXT record/);
    for (const address of ['::1', '[::1]', '0:0:0:0:0:0:0:1']) {
      const ignored = [{ address, reason: 'moved next week' }];
      const seen = await see('late.test', [ipv4.server, ipv6.server], { ignored });
      assert.equal(seen.verdict, 'seen', `${address}: ${seen.summary}`);
      assert.deepEqual(verdicts(seen), ['127.0.0.1 seen', '::1 ignored']);
    }
  });

  it('is content with servers that have IPv6 alone, and asks a resolver over it', async () => {
    const servers = [ipv6.server];
    const report = await see('six.test', [ipv6.server], { servers });
    assert.equal(report.verdict, 'seen', report.summary);
    assert.deepEqual(verdicts(report), ['::1 seen']);
    assert.deepEqual(
      report.resolvers.map(({ address, verdict }) => `${address} ${verdict}`),
      ['::1 seen'],
    );
  });

  it('knows an address in whatever way it is written', async () => {
    const long = `[0:0:0:0:0:0:0:1]:${ipv6.port}`;
    const report = await see('six.test', [long], { hasIpv6: false, servers: [long] });
    assert.equal(report.verdict, 'seen', report.summary);
    assert.deepEqual(verdicts(report), ['::1 seen']);
  });

  it('names the IPv6 address where nothing listens', async () => {
    const report = await see('both.test', [ipv4.server], { port: 1 });
    assert.equal(report.verdict, 'not-yet');
    assert.deepEqual(verdicts(report), ['127.0.0.1 seen', '::1 unreachable']);
  });
});
