import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../../src/base/clock.ts';
import { systemClock } from '../../../../src/base/clock.ts';
import { StubResolver } from '../../../../src/base/resolver.ts';
import type { RecordChange } from '../../../../src/keys/dns/publisher.ts';
import { Rfc2136Publisher } from '../../../../src/keys/dns/rfc2136-publisher.ts';
import { startBind } from '../../../support/bind.ts';
import { startKnot } from '../../../support/knot.ts';
import { requirePeer } from '../../../support/peers.ts';

const KEY_NAME = 'waxseal-key';
const SECRET = randomBytes(32);
const ZONES = {
  'example.test': `
foreign._domainkey 600 IN TXT "v=DKIM1; p=Zm9yZWlnbg=="
alias._domainkey IN CNAME elsewhere.test.
split._domainkey 60 IN TXT "v=DKIM1; " "k=ed25519; p=" "AAAA"
*._domainkey IN TXT "v=spf1 -all"`,
  'other.test': '',
};
const LONG = `v=DKIM1; k=rsa; h=sha256; p=${'A'.repeat(700)}`;
const REVOKED = 'v=DKIM1; k=rsa; p=';

interface Server {
  readonly port: number;
  close(): Promise<void>;
}

const secret = SECRET.toString('base64');
const SERVERS: readonly {
  readonly name: string;
  readonly start: (context: Mocha.Context) => Promise<Server>;
}[] = [
  {
    name: 'BIND',
    start: (context) =>
      startBind(requirePeer(context, 'named'), ZONES, {
        statements: `key ${KEY_NAME} { algorithm hmac-sha256; secret "${secret}"; };
          key idle { algorithm hmac-sha256; secret "${secret}"; };`,
        zoneStatements: `update-policy { grant ${KEY_NAME} zonesub TXT CNAME; };`,
      }),
  },
  {
    name: 'Knot',
    start: (context) =>
      startKnot(requirePeer(context, 'knotd'), ZONES, { updateKey: { name: KEY_NAME, secret } }),
  },
];

for (const { name, start } of SERVERS) {
  describe(`the RFC 2136 publisher, against a real ${name}`, () => {
    let server: Server;
    let resolver: StubResolver;

    before(async function () {
      server = await start(this);
    });
    after(() => server?.close());

    beforeEach(() => {
      resolver = new StubResolver({
        servers: [`127.0.0.1:${server.port}`],
        timeoutMs: 2000,
        attempts: 2,
        cacheEntries: 0,
        maxTtlS: 0,
        maxNegativeTtlS: 0,
        clock: systemClock,
      });
    });
    afterEach(() => resolver.close());

    function publisher(
      options: {
        clock?: Clock;
        secret?: Buffer;
        keyName?: string;
        zone?: string;
        port?: number;
      } = {},
    ): Rfc2136Publisher {
      return new Rfc2136Publisher({
        server: { address: '127.0.0.1', port: options.port ?? server.port },
        key: { name: options.keyName ?? KEY_NAME, secret: options.secret ?? SECRET },
        zone: options.zone,
        timeoutMs: 5000,
        clock: options.clock ?? systemClock,
      });
    }

    function change(selector: string, parts: Partial<RecordChange>): RecordChange {
      const owner = `${selector}._domainkey.example.test`;
      return {
        name: owner,
        type: 'TXT',
        ttlS: 3600,
        before: undefined,
        after: undefined,
        ...parts,
      };
    }

    async function texts(selector: string): Promise<readonly string[]> {
      const answer = await resolver.resolve(`${selector}._domainkey.example.test`, 'TXT');
      return answer.kind === 'records'
        ? answer.records.map((strings) => strings.map(String).join(''))
        : [answer.kind];
    }

    it('creates, replaces and removes what it wrote itself', async () => {
      const writer = publisher({ zone: 'example.test' });
      const created = await writer.apply([change('one', { after: LONG })]);
      assert.equal(created.kind, 'written', JSON.stringify(created));
      assert.deepEqual(await texts('one'), [LONG]);
      const before = { value: LONG, ttlS: 3600 };
      const replaced = await writer.apply([change('one', { before, after: REVOKED })]);
      assert.equal(replaced.kind, 'written', JSON.stringify(replaced));
      assert.deepEqual(await texts('one'), [REVOKED]);
      const gone = await writer.apply([change('one', { before: { value: REVOKED, ttlS: 3600 } })]);
      assert.equal(gone.kind, 'written', JSON.stringify(gone));
      assert.deepEqual(await texts('one'), ['v=spf1 -all']); // the wildcard
    });

    it('does what is done already without harm, and finds the zone itself', async () => {
      const writer = publisher();
      const elsewhere = { ...change('', { after: LONG }), name: 'x._domainkey.other.test' };
      const first = [
        change('two', { after: LONG }),
        change('three', { after: REVOKED }),
        elsewhere,
      ];
      const made = await writer.apply(first);
      assert.equal(made.kind, 'written', JSON.stringify(made));
      // A run that was killed is taken up again: the journal knows what it meant to write.
      const again = first.map((one) => ({
        ...one,
        before: { value: one.after ?? '', ttlS: one.ttlS },
      }));
      const repeated = await writer.apply(again);
      assert.equal(repeated.kind, 'written', JSON.stringify(repeated));
      assert.deepEqual(await texts('two'), [LONG]);
      const before = { value: LONG, ttlS: 3600 };
      for (const after of [REVOKED, REVOKED, undefined, undefined]) {
        const result = await writer.apply([change('three', { before, after })]);
        const expected = after === undefined ? 'in-the-way' : 'written'; // it holds the other value
        assert.equal(result.kind, expected, JSON.stringify(result));
      }
      const own = { value: REVOKED, ttlS: 3600 };
      for (let turn = 0; turn < 2; turn += 1) {
        const result = await writer.apply([change('three', { before: own })]);
        assert.equal(result.kind, 'written', JSON.stringify(result));
      }
    });

    it('takes a record that is exactly right for foreign, unless it is told that we wrote it', async () => {
      const value = 'v=DKIM1; p=Zm9yZWlnbg==';
      const same = await publisher().apply([change('foreign', { after: value, ttlS: 600 })]);
      assert.ok(same.kind === 'in-the-way');
      assert.deepEqual(same.found, [value]);
      assert.match(same.hint, /--adopt-record/);
    });

    it('leaves a foreign record alone, and makes nothing of what came with it', async () => {
      const writer = publisher({ zone: 'example.test' });
      const result = await writer.apply([
        change('fresh', { after: LONG }),
        change('foreign', { after: LONG }),
      ]);
      assert.ok(result.kind === 'in-the-way', JSON.stringify(result));
      assert.deepEqual(result.found, ['v=DKIM1; p=Zm9yZWlnbg==']);
      assert.match(result.hint, /^foreign\._domainkey\.example\.test: /);
      assert.deepEqual(await texts('fresh'), ['v=spf1 -all']);
      assert.deepEqual(await texts('foreign'), ['v=DKIM1; p=Zm9yZWlnbg==']);
      const before = { value: LONG, ttlS: 3600 };
      for (const after of [REVOKED, undefined]) {
        const replaced = await writer.apply([change('foreign', { before, after })]);
        assert.equal(replaced.kind, 'in-the-way', JSON.stringify(replaced));
      }
      assert.deepEqual(await texts('foreign'), ['v=DKIM1; p=Zm9yZWlnbg==']);
      const alias = await writer.apply([change('alias', { after: LONG })]);
      assert.ok(alias.kind === 'in-the-way', JSON.stringify(alias));
      assert.deepEqual(alias.found, ['CNAME elsewhere.test']);
      const vanished = await writer.apply([change('never', { before, after: REVOKED })]);
      assert.equal(vanished.kind, 'in-the-way', JSON.stringify(vanished));
    });

    it('replaces a record that is split in another way than ours', async () => {
      const before = { value: 'v=DKIM1; k=ed25519; p=AAAA', ttlS: 60 };
      const result = await publisher().apply([change('split', { before, after: REVOKED })]);
      assert.equal(result.kind, 'written', JSON.stringify(result));
      assert.deepEqual(await texts('split'), [REVOKED]);
    });

    it('writes a CNAME, and none where anything else stands', async () => {
      const writer = publisher();
      const target = 'wxr1.example.test.keys.other.test';
      const made = await writer.apply([change('slot', { type: 'CNAME', after: target })]);
      assert.equal(made.kind, 'written', JSON.stringify(made));
      const own = { value: target, ttlS: 3600 };
      const again = await writer.apply([
        change('slot', { type: 'CNAME', before: own, after: `${target}.` }),
      ]);
      assert.equal(again.kind, 'written', JSON.stringify(again));
      const blocked = await writer.apply([change('foreign', { type: 'CNAME', after: target })]);
      assert.equal(blocked.kind, 'in-the-way', JSON.stringify(blocked));
      const before = { value: target, ttlS: 3600 };
      const removed = await writer.apply([change('slot', { type: 'CNAME', before })]);
      assert.equal(removed.kind, 'written', JSON.stringify(removed));
    });

    it('lets one of many writers win, and tells the others', async () => {
      const values = Array.from({ length: 10 }, (_, n) => `${LONG}${'A'.repeat(n)}`);
      const results = await Promise.all(
        values.map((after) => publisher().apply([change('race', { after })])),
      );
      const winners = results.filter(({ kind }) => kind === 'written');
      const losers = results.filter(({ kind }) => kind === 'in-the-way');
      assert.deepEqual([winners.length, losers.length], [1, 9], JSON.stringify(results));
    });

    it('writes many records in few messages', async () => {
      const many = Array.from({ length: 120 }, (_, n) => change(`many${n}`, { after: LONG }));
      const result = await publisher({ zone: 'example.test' }).apply(many);
      assert.ok(result.kind === 'written', JSON.stringify(result));
      assert.match(result.detail, /^120 written/);
      assert.deepEqual(await texts('many0'), [LONG]);
      assert.deepEqual(await texts('many119'), [LONG]);
    });

    it('tells a wrong secret, an unknown key and a skewed clock apart', async () => {
      const one = [change('denied', { after: LONG })];
      const wrong = await publisher({ secret: randomBytes(32) }).apply(one);
      assert.ok(wrong.kind === 'failed');
      assert.match(wrong.reason, /has another secret for the TSIG key waxseal-key/);
      const unknown = await publisher({ keyName: 'nobody', zone: 'example.test' }).apply(one);
      assert.ok(unknown.kind === 'failed');
      assert.match(unknown.reason, /does not know the TSIG key nobody/);
      for (const [skewS, words] of [
        [3600, /3600 s behind/],
        [-900, /(900|899|901) s ahead of/],
      ] as const) {
        const clock: Clock = { ...systemClock, wallMs: () => Date.now() + skewS * 1000 };
        const skewed = await publisher({ clock }).apply(one);
        assert.ok(skewed.kind === 'failed', JSON.stringify(skewed));
        assert.match(skewed.reason.replace(/360[01] s|3599 s/, '3600 s'), words);
        assert.match(skewed.reason, /BADTIME/);
      }
      assert.deepEqual(await texts('denied'), ['v=spf1 -all']);
      for (const shown of [wrong, unknown]) assert.ok(!JSON.stringify(shown).includes(secret));
    });

    it('says when the server is not the primary of the zone, or not there', async () => {
      const one = [change('x', { after: LONG })];
      const elsewhere = await publisher({ zone: 'unserved.test' }).apply(one);
      assert.ok(elsewhere.kind === 'failed', JSON.stringify(elsewhere));
      assert.match(elsewhere.reason, /NOTAUTH|NOTZONE|REFUSED/);
      const silent = await publisher({ port: 1 }).apply(one);
      assert.ok(silent.kind === 'failed');
      assert.match(silent.reason, /ECONNREFUSED/);
    });
  });
}
