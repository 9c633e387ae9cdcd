import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ManifestKey } from '../../src/keys/manifest.ts';
import { type Bind, startBind } from '../support/bind.ts';
import type { Ended } from '../support/cli-place.ts';
import { type DnsForwarder, forwardDns } from '../support/dns-forwarder.ts';
import { freePort } from '../support/free-port.ts';
import { requirePeer } from '../support/peers.ts';
import { RotationLab } from '../support/rotation-lab.ts';
import { startUnbound, type Unbound } from '../support/unbound.ts';

const run = promisify(execFile);

/** NS records of a zone whose primary is the lab's, and which has a second server. */
const twoServers = (second: string) =>
  `@ IN NS ns1\n@ IN NS ns2\nns1 IN A 127.0.0.1\nns2 IN A ${second}`;
const LAME = '127.0.0.3';
const SPLIT = '127.0.0.4';
const VIEWS = '127.0.0.5';
const SLOW = '127.0.0.6';
/** Of negative answers of `cached.test`, in seconds. */
const NEGATIVE_TTL_S = 10;

/** Commands as processes, keys wrapped by the in-repo KMS, and real name servers with faults. */
describe('rotations in spite of DNS', function () {
  this.timeout(120_000);
  let lab: RotationLab;
  let dig: string;
  const binds: Bind[] = [];
  const forwarders: DnsForwarder[] = [];
  const hints: { zone: string; servers: string[] }[] = [];
  const publishers: object[] = [];
  let unbound: Unbound | undefined;

  before(async function () {
    const named = requirePeer(this, 'named');
    const unboundPath = requirePeer(this, 'unbound');
    dig = requirePeer(this, 'dig');
    lab = await RotationLab.start(
      named,
      {},
      {
        'lame.test': twoServers(LAME),
        'split.test': twoServers(SPLIT),
        'wild.test': '@ IN NS ns\nns IN A 127.0.0.1\n* 7200 IN TXT "v=spf1 -all"',
      },
    );
    const port = await freePort();
    const addServer = async (address: string, bind: Bind) => {
      binds.push(bind);
      forwarders.push(await forwardDns({ address, port }, bind.port));
      return `${address}:${port}`;
    };
    const lame = await addServer(LAME, await startBind(named, { 'elsewhere.test': '' }));
    // A copy of the zone that nobody updates; its serial is that of the primary after one update.
    const copy = { 'split.test': twoServers(SPLIT) };
    const split = await addServer(SPLIT, await startBind(named, copy, { serial: 2, ttlS: 0 }));
    const views = await startViews(named);
    const viewsServer = await addServer(VIEWS, views);
    const { statement: statements, zoneStatements } = lab.updateKey;
    const slowOptions = { statements, zoneStatements, ttlS: NEGATIVE_TTL_S, nameServer: SLOW };
    const bind = await startBind(named, { '.': '', 'cached.test': '' }, slowOptions);
    const cached = await addServer(SLOW, bind);
    unbound = await startUnbound(unboundPath, {
      stubZones: { '.': bind.port, 'cached.test': bind.port },
    });
    hints.push(
      { zone: 'lame.test', servers: [lab.bind.server, lame] },
      { zone: 'split.test', servers: [lab.bind.server, split] },
      { zone: 'views.test', servers: [viewsServer] },
      { zone: 'wild.test', servers: [lab.bind.server] },
      { zone: 'cached.test', servers: [cached] },
    );
    publishers.push(
      { ...lab.publisher(), zone: undefined },
      { ...lab.publisher(views.port), zone: undefined, domains: ['views.test'] },
      { ...lab.publisher(bind.port), zone: undefined, domains: ['cached.test'] },
    );
    await configure();
  });
  after(async () => {
    await unbound?.close();
    for (const forwarder of forwarders) await forwarder.close();
    for (const bind of binds) await bind.close();
    await lab?.stop();
  });

  /** Updates reach one view of the zone, and everybody else sees the other: BIND's way to hide one. */
  async function startViews(named: string): Promise<Bind> {
    const { name, statement, zoneStatements } = lab.updateKey;
    const folder = join(lab.place.dir, 'views');
    await mkdir(folder);
    const zone = (file: string, more: string) => {
      const path = join(folder, file);
      return [path, `zone "views.test" { type master; file "${path}"; ${more} };`] as const;
    };
    const [inner, innerZone] = zone('inner', zoneStatements);
    const [outer, outerZone] = zone('outer', '');
    const records = [
      '$TTL 0',
      '@ IN SOA ns hostmaster 1 3600 600 86400 0',
      '@ IN NS ns',
      `ns IN A ${VIEWS}`,
    ];
    for (const path of [inner, outer]) await writeFile(path, `${records.join('\n')}\n`);
    return await startBind(
      named,
      {},
      {
        statements: `${statement}
          view "inner" { match-clients { key "${name}"; }; ${innerZone} };
          view "outer" { match-clients { any; }; ${outerZone} };`,
      },
    );
  }

  async function configure(resolvers: readonly string[] = [lab.bind.server]): Promise<void> {
    const dns = { servers: resolvers, hints, timeoutMs: 1000 };
    await lab.place.configure({ ...lab.settings(), dns, publishers });
  }

  const keys = async (...args: readonly string[]): Promise<Ended> =>
    await lab.place.run(['keys', ...args]);
  const rotate = async (domain: string, ...options: readonly string[]) =>
    await keys('rotate', domain, '--backend', 'kms-envelope', ...options);
  const states = async (domain: string): Promise<readonly ManifestKey['state'][]> =>
    (await lab.place.entry(domain)).keys.map(({ state }) => state);

  it('a lame server: named, waited for, and left out by order', async () => {
    const waiting = await rotate('lame.test', '--step');
    assert.equal(waiting.code, 4, waiting.stderr);
    const complaint = `ns2.lame.test (${LAME}): lame, it answers REFUSED and does not serve lame.test`;
    assert.ok(waiting.stderr.includes(complaint), waiting.stderr);
    const status = await keys('status', 'lame.test');
    assert.match(status.stdout, /published .* not-yet \(1 of 2 servers\)/);
    assert.ok(status.stdout.includes(complaint), status.stdout);
    assert.deepEqual(await states('lame.test'), ['published', 'published']);
    const order = ['--ignore-server', LAME, '--reason', 'out of service until Monday'];
    const done = await rotate('lame.test', '--step', ...order);
    assert.equal(done.code, 0, done.stderr);
    assert.deepEqual(await states('lame.test'), ['active', 'active']);
    const history = await keys('history', 'lame.test');
    assert.match(history.stdout, /server-ignored .*because: out of service until Monday/);
  });

  it('a server that has another version of the zone: told from one that is late', async () => {
    const waiting = await rotate('split.test', '--step');
    assert.equal(waiting.code, 4, waiting.stderr);
    assert.match(
      waiting.stderr,
      /ns2\.split\.test \(127\.0\.0\.4\): absent, .*its serial is that of the others \(2\): this may be a split view/,
    );
    assert.deepEqual(await states('split.test'), ['published', 'published']);
  });

  it('a view that updates reach and readers do not', async () => {
    const waiting = await rotate('views.test', '--step');
    assert.equal(waiting.code, 4, waiting.stderr);
    assert.match(waiting.stdout, /: published\n/);
    assert.match(
      waiting.stderr,
      /ns\.views\.test \(127\.0\.0\.5\): absent, there is no TXT record/,
    );
    assert.deepEqual(await states('views.test'), ['published', 'published']);
    // It gives up in a clean way: what it wrote into the hidden view goes again.
    const abort = await keys('abort', 'views.test');
    assert.equal(abort.code, 0, abort.stderr);
    assert.deepEqual(await states('views.test'), ['destroyed', 'destroyed']);
  });

  it('a wildcard: not taken for a record, and waited out for its TTL', async () => {
    const waiting = await rotate('wild.test', '--step');
    assert.equal(waiting.code, 4, waiting.stderr);
    assert.match(
      waiting.stdout,
      /a wildcard answers for names beside \S+: caches may hold its answer for 7200 s/,
    );
    assert.match(
      waiting.stderr,
      /waiting \(until \S+ \S+\): .*caches may still hold an older answer/,
    );
    for (const { verifiedAt, settledAt } of (await lab.place.entry('wild.test')).keys) {
      assert.equal(Date.parse(settledAt ?? '') - Date.parse(verifiedAt ?? ''), 7_200_000);
    }
    assert.equal((await rotate('wild.test', '--step')).code, 4, 'not sooner');
    await lab.age('wild.test', 'settledAt', 1);
    const done = await rotate('wild.test', '--step');
    assert.equal(done.code, 0, done.stderr);
    assert.deepEqual(await states('wild.test'), ['active', 'active']);
  });

  it('a wildcard where the record is missing', async () => {
    publishers.unshift({ domains: ['hand.wild.test'], kind: 'print' });
    await configure();
    const waiting = await rotate('hand.wild.test', '--step');
    assert.equal(waiting.code, 4, waiting.stderr);
    assert.match(waiting.stderr, /absent, there is no TXT record; only a wildcard answers/);
  });

  it('a resolver that has cached the absence', async () => {
    const { server } = unbound ?? assert.fail();
    await configure([`${server.address}:${server.port}`]);
    assert.equal((await keys('create', 'cached.test', '--backend', 'kms-envelope')).code, 0);
    // Somebody looks too early.
    for (const { selector } of (await lab.place.entry('cached.test')).keys) {
      const name = `${selector}._domainkey.cached.test`;
      const where = [`@${server.address}`, '-p', String(server.port), name, 'TXT'];
      assert.match((await run(dig, where)).stdout, /status: NXDOMAIN/);
    }
    assert.equal((await keys('publish', 'cached.test')).code, 0);
    const status = await keys('status', 'cached.test');
    assert.match(status.stdout, /published .* not-yet \(1 of 1 server\)/);
    assert.match(
      status.stdout,
      /resolver \(127\.0\.0\.1\): absent, .*it keeps this answer for \d+ s/,
    );
    const done = await rotate('cached.test', '--timeout', '60s');
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stderr, /waiting, next look .*caches may still hold an older answer/);
    assert.deepEqual(await states('cached.test'), ['active', 'active']);
  });
});
