import assert from 'node:assert/strict';
import { systemClock } from '../../../../src/base/clock.ts';
import { checkSeen } from '../../../../src/keys/dns/seen.ts';
import { seenOptions } from '../../../../src/keys/dns/seen-options.ts';
import type { SeenReport } from '../../../../src/keys/dns/seen-report.ts';
import { type Bind, type BindZones, startBind } from '../../../support/bind.ts';
import { requirePeer } from '../../../support/peers.ts';
import { KEY, TXT } from './seen-zones.ts';

/** Two name servers on one machine, as where one serves the inside and one the outside. */
describe('two BINDs at one address, each with a hint that names its port', () => {
  const binds: Bind[] = [];

  before(async function () {
    const named = requirePeer(this, 'named');
    const start = async (zones: BindZones) => binds.push(await startBind(named, zones));
    await start({
      'one.test': `s._domainkey IN ${TXT}\nt._domainkey IN CNAME s._domainkey.two.test.`,
      'sub.two.test': `s._domainkey IN ${TXT}`,
    });
    await start({ 'two.test': `s._domainkey IN ${TXT}\nsub IN NS ns.sub\nns.sub IN A 127.0.0.1` });
  });

  after(async () => {
    for (const bind of binds) await bind.close();
  });

  async function see(domain: string, zones: Record<string, number>, selector = 's') {
    const hints = Object.entries(zones).map(([zone, index]) => ({
      zone,
      servers: [binds[index]?.server ?? ''],
    }));
    const options = seenOptions(
      { servers: [], timeoutMs: 3000, attempts: 1, hints },
      [],
      systemClock,
    );
    const record = { kind: 'key', key: KEY } as const;
    return await checkSeen({ domain, selector, record }, { ...options, port: 1 });
  }

  const isSeen = (report: SeenReport) => assert.equal(report.verdict, 'seen', report.summary);

  it('are each asked for their own zone, in whatever order the hints stand', async () => {
    for (const zones of [
      { 'one.test': 0, 'two.test': 1 },
      { 'two.test': 1, 'one.test': 0 },
    ]) {
      isSeen(await see('one.test', zones));
      isSeen(await see('two.test', zones));
      isSeen(await see('one.test', zones, 't')); // a CNAME from one into the other
    }
  });

  it('lend their port to the zones below, unless those have a hint of their own', async () => {
    const zones = { 'two.test': 1, 'sub.two.test': 0, 'one.test': 0 };
    isSeen(await see('sub.two.test', zones));
    const { verdict, servers } = await see('sub.two.test', { 'two.test': 1, 'one.test': 0 });
    assert.equal(verdict, 'not-yet');
    assert.deepEqual(
      servers.map(({ zone, address, verdict: said }) => `${zone} ${address} ${said}`),
      ['sub.two.test 127.0.0.1 lame'],
    );
  });
});
