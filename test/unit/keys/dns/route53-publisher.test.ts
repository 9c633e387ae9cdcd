import assert from 'node:assert/strict';
import {
  CreateHostedZoneCommand,
  ListResourceRecordSetsCommand,
  Route53Client,
} from '@aws-sdk/client-route-53';
import { type Clock, systemClock } from '../../../../src/base/clock.ts';
import type { RecordChange } from '../../../../src/keys/dns/publisher.ts';
import { RequestPace } from '../../../../src/keys/dns/request-pace.ts';
import { Route53Publisher } from '../../../../src/keys/dns/route53-publisher.ts';
import { quoteTxt, unquoteTxt } from '../../../../src/keys/dns/route53-records.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { type Ministack, startMinistack } from '../../../support/ministack.ts';
import { requirePeer } from '../../../support/peers.ts';
import { Route53Fake } from '../../../support/route53-fake.ts';
import { SkippingClock } from '../../../support/skipping-clock.ts';
import { waitFor } from '../../../support/wait-for.ts';

const LONG = `v=DKIM1; k=rsa; h=sha256; p=${'A'.repeat(700)}`;
const REVOKED = 'v=DKIM1; k=rsa; p=';
const OWNER = (selector: string) => `${selector}._domainkey.example.test`;

function change(selector: string, parts: Partial<RecordChange>): RecordChange {
  const name = OWNER(selector);
  return { name, type: 'TXT', ttlS: 3600, before: undefined, after: undefined, ...parts };
}

function clientFor(endpoint: string): Route53Client {
  return new Route53Client({
    region: 'us-east-1',
    endpoint,
    maxAttempts: 1,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
}

describe('the Route 53 publisher, against faults', () => {
  let clock: SkippingClock;
  let fake: Route53Fake;
  let publisher: Route53Publisher;

  beforeEach(async () => {
    clock = new SkippingClock();
    fake = await Route53Fake.start(clock);
    publisher = new Route53Publisher({
      client: clientFor(fake.endpoint),
      hostedZoneId: 'Z1',
      pace: new RequestPace(clock, 5),
      clock,
      random: () => 0.5,
    });
  });

  afterEach(async () => {
    publisher.close();
    await fake.close();
  });

  it('waits until all name servers have the change', async () => {
    fake.pendingPolls = 3;
    const result = await publisher.apply([change('one', { after: LONG })]);
    assert.deepEqual(result, { kind: 'written', detail: 'change /change/C1 is INSYNC' });
    assert.deepEqual(
      fake.requests.map(({ operation }) => operation),
      ['change', 'get-change', 'get-change', 'get-change'],
    );
    assert.deepEqual(fake.values(OWNER('one'), 'TXT'), [quoteTxt(LONG)]);
  });

  it('says so when a change stays PENDING', async () => {
    fake.pendingPolls = 1000;
    const result = await publisher.apply([change('one', { after: LONG })]);
    assert.ok(result.kind === 'failed');
    assert.match(result.reason, /still PENDING after 300 s/);
  });

  it('creates with CREATE, and replaces with DELETE and CREATE in one batch, never UPSERT', async () => {
    await publisher.apply([change('one', { after: LONG })]);
    const before = { value: LONG, ttlS: 3600 };
    const replaced = await publisher.apply([change('one', { before, after: REVOKED, ttlS: 300 })]);
    assert.equal(replaced.kind, 'written');
    await publisher.apply([change('one', { before: { value: REVOKED, ttlS: 300 } })]);
    assert.equal(fake.values(OWNER('one'), 'TXT'), undefined);
    const record = `${OWNER('one')}. TXT`;
    assert.deepEqual(
      fake.requests.map(({ actions }) => actions),
      [[`CREATE ${record}`], [`DELETE ${record}`, `CREATE ${record}`], [`DELETE ${record}`]],
    );
  });

  it('leaves foreign records alone', async () => {
    fake.set(OWNER('foreign'), 'TXT', 60, '"v=DKIM1; p=Zm9yZWlnbg=="');
    fake.set(OWNER('alias'), 'CNAME', 60, 'elsewhere.test');
    const blocked = await publisher.apply([change('foreign', { after: LONG })]);
    assert.ok(blocked.kind === 'in-the-way', JSON.stringify(blocked));
    assert.deepEqual(blocked.found, ['v=DKIM1; p=Zm9yZWlnbg==']);
    const before = { value: LONG, ttlS: 3600 };
    for (const after of [REVOKED, undefined]) {
      const replaced = await publisher.apply([change('foreign', { before, after })]);
      assert.equal(replaced.kind, 'in-the-way');
    }
    const alias = await publisher.apply([change('alias', { after: LONG })]);
    assert.deepEqual(alias.kind === 'in-the-way' && alias.found, ['CNAME elsewhere.test']);
    const gone = await publisher.apply([change('gone', { before, after: REVOKED })]);
    assert.equal(gone.kind, 'in-the-way');
    assert.deepEqual(fake.values(OWNER('foreign'), 'TXT'), ['"v=DKIM1; p=Zm9yZWlnbg=="']);
  });

  it('replaces what is written in another way, with the exact old value', async () => {
    fake.set(OWNER('split'), 'TXT', 60, '"v=DKIM1; " "p=AAAA"');
    const before = { value: 'v=DKIM1; p=AAAA', ttlS: 3600 };
    const result = await publisher.apply([change('split', { before, after: REVOKED })]);
    assert.equal(result.kind, 'written', JSON.stringify(result));
    assert.deepEqual(fake.values(OWNER('split'), 'TXT'), [quoteTxt(REVOKED)]);
  });

  it('tries again after throttling, a prior change and a 500, and gives up in the end', async () => {
    fake.faults.push('throttled', 'prior-request-not-complete', 'internal-error');
    const result = await publisher.apply([change('one', { after: LONG })]);
    assert.equal(result.kind, 'written', JSON.stringify(result));
    assert.equal(fake.requests.length, 4);
    const waits = fake.requests.slice(1).map(({ atMs }, n) => atMs - (fake.requests[n]?.atMs ?? 0));
    assert.ok(
      waits.every((waitMs, n) => waitMs > (waits[n - 1] ?? 0)),
      `${waits}`,
    );
    fake.faults.push(...Array.from({ length: 7 }, () => 'throttled' as const));
    const failed = await publisher.apply([change('two', { after: LONG })]);
    assert.ok(failed.kind === 'failed');
    assert.match(failed.reason, /Throttling: Rate exceeded/);
  });

  it('finds out what came of a change whose answer was lost', async () => {
    fake.faults.push('lost-answer');
    const result = await publisher.apply([change('one', { after: LONG })]);
    assert.equal(result.kind, 'written', JSON.stringify(result));
    assert.deepEqual(fake.values(OWNER('one'), 'TXT'), [quoteTxt(LONG)]);
    // Without a lost answer the very same record is somebody else's.
    const foreign = await publisher.apply([change('one', { after: LONG })]);
    assert.ok(foreign.kind === 'in-the-way');
    assert.match(foreign.hint, /--adopt-record/);
  });

  it('finds it out for each caller of a batch', async () => {
    fake.faults.push('lost-answer');
    const results = await Promise.all(
      ['one', 'two'].map((selector) => publisher.apply([change(selector, { after: LONG })])),
    );
    assert.ok(
      results.every(({ kind }) => kind === 'written'),
      JSON.stringify(results),
    );
  });

  it('does not try again where that does not help, and says what the policy lacks', async () => {
    fake.faults.push('access-denied');
    const result = await publisher.apply([change('one', { after: LONG })]);
    assert.ok(result.kind === 'failed');
    assert.match(result.hint, /route53:ChangeResourceRecordSets/);
    assert.equal(fake.requests.length, 1);
  });

  it('puts the changes of many callers into one batch, and sends 5 requests a second', async () => {
    const many = Array.from({ length: 50 }, (_, n) => change(`k${n}`, { after: REVOKED }));
    const results = await Promise.all(many.map((one) => publisher.apply([one])));
    assert.ok(results.every(({ kind }) => kind === 'written'));
    assert.equal(fake.requests.length, 1);
    fake.set(OWNER('k50'), 'TXT', 60, '"foreign"');
    const own = { value: REVOKED, ttlS: 3600 };
    const more = Array.from({ length: 10 }, (_, n) =>
      change(`k${n + 45}`, { before: n < 5 ? own : undefined, after: LONG }),
    );
    const kinds = await Promise.all(more.map(async (one) => (await publisher.apply([one])).kind));
    assert.deepEqual(
      kinds,
      more.map((_, n) => (n === 5 ? 'in-the-way' : 'written')),
    );
    const gaps = fake.requests.slice(1).map(({ atMs }, n) => atMs - (fake.requests[n]?.atMs ?? 0));
    assert.ok(
      gaps.every((gapMs) => gapMs >= 200),
      `${gaps}`,
    );
  });

  it('finds the one foreign record among many by halves', async () => {
    fake.set(OWNER('k37'), 'TXT', 60, '"foreign"');
    const many = Array.from({ length: 100 }, (_, n) => change(`k${n}`, { after: REVOKED }));
    const kinds = await Promise.all(many.map(async (one) => (await publisher.apply([one])).kind));
    assert.deepEqual(
      kinds.flatMap((kind, n) => (kind === 'written' ? [] : [`${n} ${kind}`])),
      ['37 in-the-way'],
    );
    assert.ok(fake.requests.length < 20, `${fake.requests.length} requests`);
  });

  it('goes on with the next batch while the last one is PENDING', async () => {
    const still = new ManualClock();
    const patient = new Route53Publisher({
      client: clientFor(fake.endpoint),
      hostedZoneId: 'Z1',
      pace: new RequestPace(still, 5),
      clock: still,
      random: () => 0.5,
    });
    fake.pendingPolls = 3;
    let done = 0;
    const apply = async (selector: string) => {
      const result = await patient.apply([change(selector, { after: REVOKED })]);
      assert.equal(result.kind, 'written', JSON.stringify(result));
      done += 1;
    };
    const first = apply('one');
    await waitFor('the first change to be PENDING', () => still.waiting === 1);
    const second = apply('two');
    await waitFor('the second to wait for its turn', () => still.waiting === 2);
    still.advance(200);
    await waitFor('the second change', () => fake.requests.length === 2);
    assert.deepEqual([fake.requests[1]?.operation, done], ['change', 0]);
    await waitFor('both to be INSYNC', () => {
      still.advance(5000);
      return done === 2;
    });
    await Promise.all([first, second]);
    patient.close();
  });

  it('splits what is too large for one batch', async () => {
    const many = Array.from({ length: 60 }, (_, n) => change(`k${n}`, { after: LONG }));
    assert.equal((await publisher.apply(many)).kind, 'written');
    assert.equal(fake.requests.length, 3);
    assert.ok(many.every(({ name }) => fake.values(name, 'TXT') !== undefined));
  });

  it('stops waiting when told to, and when closed', async () => {
    const controller = new AbortController();
    const stopped = publisher.apply([change('one', { after: LONG })], controller.signal);
    controller.abort(new Error('enough'));
    await assert.rejects(stopped, /enough/);
    fake.pendingPolls = 1000;
    const closed = publisher.apply([change('two', { after: LONG })]);
    publisher.close();
    const result = await closed;
    assert.ok(result.kind === 'failed');
    assert.match(result.reason, /closed/);
  });
});

describe('TXT values of Route 53', () => {
  it('are read back as they were written', () => {
    for (const value of [LONG, 'a "quoted" \\ one', 'ümlaut', 'x'.repeat(255)]) {
      assert.equal(unquoteTxt(quoteTxt(value)), value);
    }
    assert.equal(unquoteTxt('"a\\040b" "c"'), 'a bc');
    assert.equal(unquoteTxt('bare'), 'bare');
    assert.equal(unquoteTxt(''), undefined);
  });
});

describe('the Route 53 publisher, against ministack', function () {
  this.timeout(60_000);
  let stack: Ministack;
  let publisher: Route53Publisher;
  let zoneId: string;
  /** Its changes are PENDING for a moment. */
  const quick: Clock = {
    ...systemClock,
    after: (delayMs, action) => systemClock.after(delayMs / 20, action),
  };

  before(async function () {
    stack = await startMinistack(requirePeer(this, 'hypercorn'), ['route53']);
    const client = clientFor(stack.endpoint);
    const made = await client.send(
      new CreateHostedZoneCommand({ Name: 'example.test', CallerReference: 'test' }),
    );
    client.destroy();
    zoneId = made.HostedZone?.Id?.replace('/hostedzone/', '') ?? '';
    publisher = new Route53Publisher({
      client: clientFor(stack.endpoint),
      hostedZoneId: zoneId,
      pace: new RequestPace(quick, 100),
      clock: quick,
      random: Math.random,
    });
  });

  after(async () => {
    publisher?.close();
    await stack?.close();
  });

  async function values(selector: string): Promise<(string | undefined)[]> {
    const client = clientFor(stack.endpoint);
    const listed = await client.send(new ListResourceRecordSetsCommand({ HostedZoneId: zoneId }));
    client.destroy();
    return (listed.ResourceRecordSets ?? [])
      .filter((set) => set.Name === `${OWNER(selector)}.`)
      .flatMap((set) => (set.ResourceRecords ?? []).map(({ Value }) => Value));
  }

  it('creates, replaces and removes, and leaves foreign records alone', async () => {
    const created = await publisher.apply([change('one', { after: LONG })]);
    assert.equal(created.kind, 'written', JSON.stringify(created));
    assert.deepEqual(
      (await values('one')).map((value) => unquoteTxt(value ?? '')),
      [LONG],
    );
    const again = await publisher.apply([change('one', { after: LONG })]);
    assert.ok(again.kind === 'in-the-way', JSON.stringify(again));
    assert.deepEqual(again.found, [LONG]);
    const other = await publisher.apply([change('one', { after: REVOKED })]);
    assert.equal(other.kind, 'in-the-way');
    const before = { value: LONG, ttlS: 3600 };
    const replaced = await publisher.apply([change('one', { before, after: REVOKED })]);
    assert.equal(replaced.kind, 'written', JSON.stringify(replaced));
    assert.deepEqual(await values('one'), [quoteTxt(REVOKED)]);
    const stale = await publisher.apply([change('one', { before, after: LONG })]);
    assert.equal(stale.kind, 'in-the-way', JSON.stringify(stale));
    const removed = await publisher.apply([
      change('one', { before: { value: REVOKED, ttlS: 3600 } }),
    ]);
    assert.equal(removed.kind, 'written', JSON.stringify(removed));
    assert.deepEqual(await values('one'), []);
  });
});
