import assert from 'node:assert/strict';
import { ClientLab, messageOf } from '../support/client-lab.ts';

/*
 * Rows of the fault matrix that the DNS or dead hosts cause, from the client's socket on. What each
 * answer of the DNS means is tested closer by; here it is that the client hears it at RCPT, that no
 * MX is bothered, and that the session goes on.
 */

/** An address of the lab where nothing listens. */
const DEAD = '127.0.3.1';
const SMALL = messageOf('small');

describe('the DNS and dead hosts, as the client sees them', function () {
  this.timeout(60_000);
  let lab: ClientLab;

  before(async () => {
    lab = await ClientLab.start({ 'good.test': {}, 'second.test': {} }, ({ mxPort, dns }) => ({
      relay: { port: mxPort, allowPrivate: true, ehloName: 'relay.example.net' },
      dns: { servers: [dns.server], timeoutMs: 300, attempts: 2 },
    }));
  });
  after(() => lab?.stop());

  /** Sends a message and, whatever became of it, another one to a good MX. */
  async function hears(to: string): Promise<{ heard: string; outcome: unknown; host: unknown }> {
    const client = await lab.session();
    const sender = lab.sender();
    const { reply } = await lab.deliver(client, sender, to, SMALL);
    await lab.assertGoesOn(client, 'good.test');
    const record = await lab.record(sender);
    client.close();
    const remote = record.remote as { host: string } | undefined;
    return { heard: reply, outcome: record.outcome, host: remote?.host };
  }

  const dnsFaults = {
    servfail: /^451 4\.4\.3 .*\[waxseal route\.dns-failed \S+\]$/,
    timeout: /^451 4\.4\.3 .*\[waxseal route\.dns-failed \S+\]$/,
    garbage: /^451 4\.4\.3 .*\[waxseal route\.dns-failed \S+\]$/,
  } as const;
  for (const [fault, expected] of Object.entries(dnsFaults)) {
    it(`row 1: ${fault} for MX`, async () => {
      const domain = `${fault}.test`;
      lab.lab.dns.fault(domain, fault as keyof typeof dnsFaults);
      const { heard, outcome } = await hears(`a@${domain}`);
      assert.match(heard, expected);
      assert.equal(outcome, 'deferred');
    });

    it(`row 1: ${fault} for the address of the MX`, async () => {
      const domain = `a-${fault}.test`;
      lab.lab.dns.set(domain, 'MX', [[10, `mx.${domain}`]]);
      lab.lab.dns.fault(`mx.${domain}`, fault as keyof typeof dnsFaults);
      const { heard, outcome } = await hears(`a@${domain}`);
      assert.match(heard, expected);
      assert.equal(outcome, 'deferred');
    });
  }

  it('row 2: no such domain, and a null MX', async () => {
    lab.lab.dns.set('null.test', 'MX', [[0, '.']]);
    const gone = await hears('a@nowhere.test');
    assert.match(gone.heard, /^550 5\.1\.2 .*\[waxseal route\.no-such-domain \S+\]$/);
    assert.equal(gone.outcome, 'rejected');
    const none = await hears('a@null.test');
    assert.match(none.heard, /^556 5\.1\.10 .*\[waxseal route\.null-mx \S+\]$/);
    assert.equal(none.outcome, 'rejected');
  });

  it('row 4: the address that was looked up once is the one that is used', async () => {
    const { dns } = lab.lab;
    dns.set('rebind.test', 'MX', [[10, 'mx.rebind.test']], 0);
    dns.setInTurn('mx.rebind.test', 'A', [['127.0.1.1'], ['127.0.1.2']]);
    const sessions = lab.lab.mx('second.test').sessions.length;
    assert.equal((await hears('a@rebind.test')).heard, '250 2.0.0 queued');
    assert.equal(dns.count('mx.rebind.test', 'A'), 1);
    assert.equal(lab.lab.mx('second.test').sessions.length, sessions);
  });

  it('row 5: no MX listens; the host is remembered for a minute', async () => {
    const { dns } = lab.lab;
    dns.set('dead.test', 'MX', [[10, 'mx.dead.test']]);
    dns.set('mx.dead.test', 'A', ['127.0.3.2']);
    const first = await hears('a@dead.test');
    assert.match(first.heard, /^451-4\.4\.1 .*\n451 4\.4\.1 .*127\.0\.3\.2.*ECONNREFUSED/);
    assert.equal(first.outcome, 'deferred');
    const second = await hears('a@dead.test');
    assert.match(second.heard, /^451-4\.4\.1 .*\n451 4\.4\.1 .*\(a moment ago\)/);
  });

  describe('row 7: failover', () => {
    before(() => {
      const { dns } = lab.lab;
      dns.set('mx.dead7.test', 'A', [DEAD]);
      for (const [domain, first] of [
        ['refused.test', 'mx.dead7.test'],
        ['first.test', 'mx.second.test'],
      ] as const) {
        dns.set(domain, 'MX', [
          [10, first],
          [20, 'mx.good.test'],
        ]);
      }
    });
    afterEach(() => {
      lab.lab.mx('second.test').script = {};
    });

    it('to the second MX when the first does not listen', async () => {
      const { heard, outcome, host } = await hears('a@refused.test');
      assert.equal(heard, '250 2.0.0 queued');
      assert.deepEqual([outcome, host], ['accepted', 'mx.good.test']);
    });

    for (const [name, script] of Object.entries({
      'greets with 421': { greeting: '421 4.3.2 busy' },
      'greets with 554': { greeting: '554 5.7.1 no' },
      'answers MAIL with 451': { mail: '451 4.3.0 later' },
    })) {
      it(`to the second MX when the first ${name}`, async () => {
        lab.lab.mx('second.test').script = script;
        const { heard, host } = await hears('a@first.test');
        assert.equal(heard, '250 2.0.0 queued');
        assert.equal(host, 'mx.good.test');
      });
    }

    for (const [name, script, expected] of [
      ['MAIL with 550', { mail: '550 5.7.1 no' }, '550 5.7.1 no'],
      ['RCPT with 450', { rcpt: '450 4.2.1 later' }, '450 4.2.1 later'],
      ['RCPT with 550', { rcpt: '550 5.1.1 no' }, '550 5.1.1 no'],
      ['the dot with 451', { dot: '451 4.3.0 later' }, '451 4.3.0 later'],
    ] as const) {
      it(`no more once the first answered ${name}`, async () => {
        lab.lab.mx('second.test').script = script;
        const { heard, host } = await hears('a@first.test');
        assert.equal(heard, expected);
        assert.equal(host, 'mx.second.test');
      });
    }
  });

  describe('in the end', () => {
    it('left exactly one record of each transaction', () => lab.assertOneRecordEach());
  });
});

describe('addresses that a stranger must not make us connect to', function () {
  this.timeout(60_000);
  let lab: ClientLab;
  /** Row 3. The loopback ones lead to a fake MX, which would see a connection. */
  const CLOSED: Readonly<Record<string, { readonly A?: string[]; readonly AAAA?: string[] }>> = {
    loopback: { A: ['127.0.1.1'] },
    'loopback-v6': { AAAA: ['::1'] },
    'v4-mapped': { AAAA: ['::ffff:127.0.1.1'] },
    'v4-compatible': { AAAA: ['::7f00:101'] },
    nat64: { AAAA: ['64:ff9b::7f00:101'] },
    sixtofour: { AAAA: ['2002:7f00:101::1'] },
    private10: { A: ['10.0.0.1'] },
    private172: { A: ['172.31.255.255'] },
    private192: { A: ['192.168.0.1'] },
    'cloud-metadata': { A: ['169.254.169.254'] },
    unspecified: { A: ['0.0.0.0'] },
    'unspecified-v6': { AAAA: ['::'] },
    ula: { AAAA: ['fd00::1'] },
    'link-local-v6': { AAAA: ['fe80::1'] },
    several: { A: ['127.0.1.1', '10.0.0.1'], AAAA: ['::1', '::ffff:7f00:101'] },
  };

  before(async () => {
    lab = await ClientLab.start({ 'inside.test': {} }, ({ mxPort }) => ({
      relay: { port: mxPort, ehloName: 'relay.example.net' },
    }));
    for (const [name, records] of Object.entries(CLOSED)) {
      const host = `mx.${name}.test`;
      lab.lab.dns.set(`${name}.test`, 'MX', [[10, host]]);
      lab.lab.dns.set(host, 'A', records.A ?? []);
      lab.lab.dns.set(host, 'AAAA', records.AAAA ?? []);
    }
    lab.lab.dns.set('mapped-exchange.test', 'MX', [[10, '127.0.1.1']]);
    lab.lab.dns.set('implicit.test', 'A', ['127.0.1.1']);
  });
  after(() => lab?.stop());

  it('row 3: each is refused with 550 5.4.6, in one session', async () => {
    const client = await lab.session();
    const sender = lab.sender();
    await client.command(`MAIL FROM:<${sender}>`);
    for (const name of [...Object.keys(CLOSED), 'implicit', 'inside']) {
      const reply = await client.command(`RCPT TO:<a@${name}.test>`);
      assert.match(reply, /^550 5\.4\.6 .*\[waxseal route\.not-public \S+\]$/, name);
    }
    const reply = await client.command('RCPT TO:<a@mapped-exchange.test>');
    assert.match(reply, /^550 5\.4\.4 .*\[waxseal route\.no-address \S+\]$/);
    await client.command('QUIT');
    assert.equal((await lab.record(sender)).outcome, 'rejected');
  });

  it('row 3: our own address is a loop, even where private addresses are allowed', async () => {
    const { waxseal, dns } = lab.lab;
    // It listens where MXs are, so that it would talk to itself.
    await lab.restart({
      listen: [`127.0.0.9:${lab.lab.mxPort}`],
      relay: { port: lab.lab.mxPort, allowPrivate: true, ehloName: 'relay.example.net' },
    });
    dns.set('loop.test', 'MX', [[10, 'mx.loop.test']]);
    dns.set('mx.loop.test', 'A', ['127.0.0.9']);
    dns.set('named.test', 'MX', [[10, 'relay.example.net']]);
    const client = await lab.session('127.0.0.9');
    await client.command(`MAIL FROM:<${lab.sender()}>`);
    for (const domain of ['loop.test', 'named.test']) {
      const reply = await client.command(`RCPT TO:<a@${domain}>`);
      assert.match(reply, /^550 5\.4\.6 .*\[waxseal route\.loop \S+\]$/);
    }
    await client.command('QUIT');
    assert.equal(waxseal.port, lab.lab.mxPort);
  });

  it('row 3: no connection was made', () => {
    assert.equal(lab.lab.mx('inside.test').sessions.length, 0);
  });
});
