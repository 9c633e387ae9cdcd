import assert from 'node:assert/strict';
import { systemClock } from '../../../../src/base/clock.ts';
import { checkSeen, type SeenExpectation } from '../../../../src/keys/dns/seen.ts';
import type { SeenReport } from '../../../../src/keys/dns/seen-report.ts';
import { type DnsLab, startDnsLab } from '../../../support/dns-lab.ts';
import { requirePeer } from '../../../support/peers.ts';

const KEY = { algorithm: 'ed25519', publicKey: '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=' };
const TXT = `TXT "v=DKIM1; k=ed25519; h=sha256; p=${KEY.publicKey}"`;
const OTHER = 'TXT "v=DKIM1; k=ed25519; p=O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="';

const ROOT = `
@ IN NS ns
ns IN A 127.0.0.1
test. IN NS ns.test.
ns.test. IN A 127.0.0.1`;
const NS = `
@ IN NS ns1
@ IN NS ns2
ns1 IN A 127.0.0.2
ns2 IN A 127.0.0.3`;
const DELEGATION = (zone: string) => `
${zone} IN NS ns1.${zone}
${zone} IN NS ns2.${zone}
ns1.${zone} IN A 127.0.0.2
ns2.${zone} IN A 127.0.0.3`;

const ZONES = ['good', 'view', 'late', 'alone', 'wild', 'cust', 'prov', 'dup', 'stale', 'loop'];
const TEST = `
@ IN NS ns
ns IN A 127.0.0.1
${ZONES.map((zone) => DELEGATION(zone)).join('\n')}
dead IN NS ns1.good
dead IN NS nsx.dead
nsx.dead IN A 127.0.0.9
lame IN NS ns1.good
lame IN NS nsx.lame
nsx.lame IN A 127.0.0.4
noglue IN NS ns1.good
noglue IN NS ns.noglue`;

const shared = {
  'good.test': `${NS}\ns._domainkey 60 IN ${TXT}\nrev._domainkey 900 IN TXT "v=DKIM1; k=ed25519; p="`,
  'dead.test': `@ IN NS ns1.good.test.\n@ IN NS nsx\nnsx IN A 127.0.0.9\ns._domainkey IN ${TXT}`,
  'lame.test': `@ IN NS ns1.good.test.\n@ IN NS nsx\nnsx IN A 127.0.0.4\ns._domainkey IN ${TXT}`,
  'noglue.test': `@ IN NS ns1.good.test.\ns._domainkey IN ${TXT}`,
  'wild.test': `${NS}\n*._domainkey 7200 IN TXT "v=spf1 -all"\ns._domainkey IN ${TXT}`,
  'cust.test': `${NS}\ns._domainkey 500 IN CNAME s.cust.keys.prov.test.`,
  'prov.test': `${NS}\nkeys IN NS ns1.keys\nkeys IN NS ns1\nns1.keys IN A 127.0.0.3`,
  'keys.prov.test': `@ IN NS ns1\n@ IN NS ns1.prov.test.\nns1 IN A 127.0.0.3\ns.cust 4000 IN ${TXT}`,
  'dup.test': `${NS}\ns._domainkey IN ${TXT}\ns._domainkey IN ${OTHER}`,
  'loop.test': `${NS}\ns._domainkey IN CNAME t._domainkey\nt._domainkey IN CNAME s._domainkey`,
};

describe('the check "seen in DNS", against real BINDs', () => {
  let lab: DnsLab;

  before(async function () {
    lab = await startDnsLab(requirePeer(this, 'named'), [
      { address: '127.0.0.1', zones: { '.': ROOT, test: TEST } },
      {
        address: '127.0.0.2',
        zones: {
          ...shared,
          'view.test': `${NS}\ns._domainkey IN ${TXT}`,
          'alone.test': `${NS}\ns._domainkey IN ${TXT}`,
          'late.test': `${NS}\n`,
        },
      },
      {
        address: '127.0.0.3',
        serial: 7,
        zones: {
          ...shared,
          'late.test': `${NS}\ns._domainkey IN ${TXT}`,
          'stale.test': `${NS}\ns._domainkey IN ${TXT}`,
        },
      },
      { address: '127.0.0.4', zones: { 'elsewhere.test': '' } },
    ]);
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
        timeoutMs: 500,
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
});
