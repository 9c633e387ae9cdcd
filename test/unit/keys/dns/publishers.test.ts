import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../../src/base/clock.ts';
import type { RecordChange } from '../../../../src/keys/dns/publisher.ts';
import { type PublisherSetting, settingFor } from '../../../../src/keys/dns/publisher-settings.ts';
import { Publishers, publisherFor, publisherParts } from '../../../../src/keys/dns/publishers.ts';
import { freeSlot, slotAliases, slotSelectors } from '../../../../src/keys/dns/slots.ts';
import { startBind } from '../../../support/bind.ts';
import { startDns } from '../../../support/dns.ts';
import { requirePeer } from '../../../support/peers.ts';
import { Route53Fake } from '../../../support/route53-fake.ts';

const VALUE = `v=DKIM1; k=rsa; h=sha256; p=${'A'.repeat(400)}`;

function change(name: string, parts: Partial<RecordChange> = {}): RecordChange {
  return { name, type: 'TXT', ttlS: 600, before: undefined, after: VALUE, ...parts };
}

describe('publishers', () => {
  it('are chosen by the name, then by the longest suffix, then by *', () => {
    const rows = [['*'], ['.test', 'example.test'], ['.a.test', '.b.example']].map(
      (domains): PublisherSetting => ({ domains, kind: 'print' }),
    );
    const chosen = (domain: string) => {
      const row = settingFor(domain, rows);
      return row === undefined ? -1 : rows.indexOf(row);
    };
    assert.equal(chosen('example.test'), 1);
    assert.equal(chosen('x.a.test'), 2);
    assert.equal(chosen('a.test'), 1);
    assert.equal(chosen('b.example'), 0);
    assert.equal(chosen('notb.example'), 0);
    assert.equal(settingFor('b.example', rows.slice(1)), undefined);
  });

  it('of no domain leave it to a person, and say what to write', async () => {
    const publisher = publisherFor('example.test', { publishers: [], clock: systemClock });
    assert.equal(publisher.name, 'print');
    const name = 's._domainkey.example.test';
    const before = { value: 'v=DKIM1; p=', ttlS: 60 };
    const texts: string[] = [];
    for (const one of [
      change(name),
      change(name, { before, after: VALUE }),
      change(name, { before, after: undefined }),
    ]) {
      const result = await publisher.apply([one]);
      assert.ok(result.kind === 'by-hand');
      texts.push(result.instructions);
    }
    const strings = `"${VALUE.slice(0, 255)}" "${VALUE.slice(255)}"`;
    assert.ok(texts[0]?.includes(`Add to the zone:\n  ${name}. 600 IN TXT ${strings}\n`));
    assert.ok(texts[0]?.includes(`  Value: ${VALUE}\n`));
    assert.match(texts[1] ?? '', /replace:\n .* 60 IN TXT "v=DKIM1; p="\nby:\n .* 600 IN TXT/);
    assert.match(texts[2] ?? '', /^Remove from the zone:\n .* 60 IN TXT "v=DKIM1; p="\n$/);
    publisher.close();
  });

  it('answer with a result when a setting cannot be used', async () => {
    const row: PublisherSetting = {
      domains: ['*'],
      kind: 'rfc2136',
      server: '127.0.0.1:1',
      keyName: 'k',
      keyFile: '/nonexistent/key',
    };
    const publisher = publisherFor('example.test', { publishers: [row], clock: systemClock });
    const result = await publisher.apply([change('s._domainkey.example.test')]);
    assert.ok(result.kind === 'failed');
    assert.match(result.reason, /the TSIG key file \/nonexistent\/key does not exist/);
    publisher.close();
  });

  it('write the records of slots at their targets, with the key of a file', async function () {
    const secret = randomBytes(32).toString('base64');
    const statement = `key "writer" { algorithm hmac-sha256; secret "${secret}"; };`;
    const folder = await mkdtemp(join(tmpdir(), 'waxseal-publishers-'));
    const bind = await startBind(
      requirePeer(this, 'named'),
      { 'keys.prov.test': '' },
      { statements: statement, zoneStatements: 'update-policy { grant writer zonesub TXT; };' },
    );
    try {
      const keyFile = join(folder, 'key');
      await writeFile(keyFile, statement, { mode: 0o600 });
      const publishers = new Publishers(
        [
          {
            domains: ['cust.test'],
            kind: 'rfc2136',
            server: bind.server,
            keyName: 'Writer.',
            keyFile,
            slotsUnder: 'keys.prov.test',
          },
        ],
        publisherParts(systemClock),
      );
      const publisher = publishers.publisherFor('cust.test');
      const result = await publisher.apply([change('wxr1._domainkey.cust.test')]);
      assert.equal(result.kind, 'written', JSON.stringify(result));
      publishers.close();
      assert.ok(await bind.queryLog('wxr1.cust.test.keys.prov.test'));
    } finally {
      await bind.close();
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('of Route 53 are opened from the configuration, with the credentials of the environment', async () => {
    const fake = await Route53Fake.start(systemClock);
    const before = { ...process.env };
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' });
    try {
      const publisher = publisherFor('example.test', {
        publishers: [
          {
            domains: ['.test'],
            kind: 'route53',
            hostedZoneId: '/hostedzone/Z1',
            endpoint: fake.endpoint,
          },
        ],
        clock: systemClock,
      });
      assert.equal(publisher.name, 'route53');
      const name = 's._domainkey.example.test';
      const result = await publisher.apply([change(name)]);
      assert.equal(result.kind, 'written', JSON.stringify(result));
      assert.equal(fake.values(name, 'TXT')?.length, 1);
      publisher.close();
    } finally {
      process.env = before;
      await fake.close();
    }
  });

  it('give up on a server that accepts and never answers', async () => {
    const dns = await startDns();
    dns.fault('*', 'timeout');
    const folder = await mkdtemp(join(tmpdir(), 'waxseal-publishers-'));
    try {
      const keyFile = join(folder, 'key');
      await writeFile(keyFile, randomBytes(32).toString('base64'), { mode: 0o600 });
      const row = { domains: ['*'], kind: 'rfc2136', server: dns.server, keyName: 'k', keyFile };
      const controller = new AbortController();
      const publisher = publisherFor('x.test', {
        publishers: [row as PublisherSetting],
        clock: systemClock,
      });
      const waiting = publisher.apply([change('s._domainkey.x.test')], controller.signal);
      setImmediate(() => controller.abort(new Error('enough')));
      await assert.rejects(waiting, /enough/);
      publisher.close();
    } finally {
      await dns.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('slots', () => {
  const NOW = Date.parse('2026-11-25T12:00:00Z');
  const use = (
    selector: string,
    state: 'active' | 'retiring' | 'revoked',
    agoS = 0,
    ttlS = 3600,
  ) => ({
    selector,
    state,
    ttlS,
    revokedAt: state === 'revoked' ? new Date(NOW - agoS * 1000).toISOString() : undefined,
  });

  it('have names of their own for each family, and CNAMEs that stay', () => {
    assert.deepEqual(slotSelectors('r'), ['wxr1', 'wxr2', 'wxr3']);
    assert.deepEqual(slotAliases('cust.test', 'keys.prov.test', ['e']).at(1), {
      name: 'wxe2._domainkey.cust.test',
      target: 'wxe2.cust.test.keys.prov.test',
    });
  });

  it('are taken while they serve a key, and until its last trace is gone', () => {
    assert.deepEqual(freeSlot('r', [], NOW, 300), { kind: 'free', selector: 'wxr1' });
    const two = [use('wxr1', 'retiring'), use('wxr2', 'active'), use('wxe3', 'active')];
    assert.deepEqual(freeSlot('r', two, NOW, 300), { kind: 'free', selector: 'wxr3' });
    const full = [...two, use('wxr3', 'active')];
    assert.equal(freeSlot('r', full, NOW, 300).kind, 'none');
    const resting = [...two, use('wxr3', 'revoked', 3899)];
    assert.deepEqual(freeSlot('r', resting, NOW, 300), {
      kind: 'wait',
      selector: 'wxr3',
      untilMs: NOW + 1000,
    });
    const rested = [...two, use('wxr3', 'revoked', 3900)];
    assert.deepEqual(freeSlot('r', rested, NOW, 300), { kind: 'free', selector: 'wxr3' });
    // An older key there had a longer TTL.
    const longer = [...rested, use('wxr3', 'revoked', 9000, 86_400)];
    assert.equal(freeSlot('r', longer, NOW, 300).kind, 'wait');
    const unknown = [...two, { ...use('wxr3', 'revoked'), revokedAt: undefined }];
    assert.equal(freeSlot('r', unknown, NOW, 300).kind, 'none');
  });
});
