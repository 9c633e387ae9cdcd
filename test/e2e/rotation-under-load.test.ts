import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KeysSettings } from '../../src/cli/keys-command.ts';
import { DAY_MS } from '../../src/keys/lifecycle/policy.ts';
import type { ManifestKey } from '../../src/keys/manifest.ts';
import { FileKeyringStore } from '../../src/keys/store/file-store.ts';
import { AheadClock } from '../support/ahead-clock.ts';
import { type Bind, startBind } from '../support/bind.ts';
import { runCompressed } from '../support/compressed-cli.ts';
import { freePort } from '../support/free-port.ts';
import { habits, type Ran } from '../support/lifecycle-cli.ts';
import { LiveMail } from '../support/live-mail.ts';
import { liveDkimpy, liveOpendkim } from '../support/live-verifiers.ts';
import { type LoadMail, MailLoad } from '../support/mail-load.ts';
import { type FakeMx, startMx } from '../support/mx.ts';
import { requirePeer } from '../support/peers.ts';
import { waitFor } from '../support/wait-for.ts';
import { Waxseal } from '../support/waxseal.ts';

const DOMAIN = 'example.test';
const PER_SECOND = 200;
const KEY_NAME = 'waxseal-key';
const MX_ADDRESS = '127.0.1.1';
/** How often the scheduled job runs, on the compressed clock. */
const TICK_MS = DAY_MS / 2;
/** `retireAfterDays` and `maxStaleMs`, from the activation of the new keys. */
const WITHDRAWN_AFTER_MS = 8 * DAY_MS;
/** Messages of each replica that are to be on their way at least in each part of the rotation. */
const SOME = 100;
const HERE = 0;
const THERE = 1;
const ASLEEP = 2;
const SLEEPING_MACHINE = fileURLToPath(new URL('../support/sleeping-machine.ts', import.meta.url));

/**
 * Two relays sign for one domain, on the machine's clock; the commands rotate its keys, on one on
 * which days pass in no time; a real BIND has the records, real verifiers ask it.
 */
describe('a rotation under load', function () {
  this.timeout(240_000);

  const clock = new AheadClock();
  const load = new MailLoad(DOMAIN, PER_SECOND);
  let root: string;
  let bind: Bind;
  let mx: FakeMx;
  let arrived: LiveMail;
  let settings: KeysSettings;
  let store: FileKeyringStore;
  /** The first mounts the keyring for good, the second can be cut off from it. */
  const replicas: Replica[] = [];

  before(async function () {
    const named = requirePeer(this, 'named');
    const opendkim = requirePeer(this, 'opendkim');
    requirePeer(this, 'dkimverify');
    root = await mkdtemp(join(tmpdir(), 'waxseal-load-'));
    const secret = randomBytes(32).toString('base64');
    const statements = `key "${KEY_NAME}" { algorithm hmac-sha256; secret "${secret}"; };`;
    const keyFile = join(root, 'tsig.key');
    await writeFile(keyFile, statements, { mode: 0o600 });
    const zones = { [DOMAIN]: '', 'sink.test': `@ IN MX 10 mx\nmx IN A ${MX_ADDRESS}` };
    const zoneStatements = `update-policy { grant ${KEY_NAME} zonesub TXT; };`;
    bind = await startBind(named, zones, { statements, zoneStatements });
    mx = await startMx(load.script, { host: MX_ADDRESS, port: await freePort() });
    const verifiers = [
      await liveOpendkim({ program: opendkim, folder: root, server: bind, zone: DOMAIN }),
      liveDkimpy(bind),
    ];
    await mkdir(join(root, 'mail'));
    arrived = new LiveMail(join(root, 'mail'), load, verifiers);
    const keys = { dir: join(root, 'keys'), masterKeyFile: join(root, 'master.key') };
    store = new FileKeyringStore(keys.dir);
    const { server } = bind;
    settings = {
      keys: { ...keys, rotation: habits },
      dns: {
        servers: [server],
        hints: [{ zone: DOMAIN, servers: [server] }],
        timeoutMs: 5000,
        attempts: 3,
      },
      publishers: [{ domains: ['*'], kind: 'rfc2136', server, keyName: KEY_NAME, keyFile }],
    };
    await run('rotate', DOMAIN);
    for (const name of ['here', 'there']) replicas.push(await startReplica(name));
  });
  after(async () => {
    await load.stop();
    await arrived?.close();
    for (const { waxseal } of replicas) await waxseal.stop();
    await mx?.close();
    await bind?.close();
    if (root !== undefined) await rm(root, { recursive: true, force: true });
  });

  interface Replica {
    readonly waxseal: Waxseal;
    readonly pid: number;
    /** Takes the keyring's file system away. */
    cutOff(): Promise<void>;
    connect(): Promise<void>;
  }

  async function startReplica(name: string, env: Record<string, string> = {}): Promise<Replica> {
    const mount = join(root, `keys-${name}`);
    const connect = async () => await symlink(settings.keys.dir, mount);
    await connect();
    const { masterKeyFile } = settings.keys;
    const waxseal = await Waxseal.prepare({
      keys: { dir: mount, masterKeyFile, watchMs: 500 },
      dns: { servers: [bind.server] },
      relay: { port: mx.port, allowPrivate: true, ehloName: 'relay.example.net' },
    });
    await waxseal.serve(env);
    return { waxseal, pid: waxseal.pid, connect, cutOff: async () => await unlink(mount) };
  }

  const run = async (...args: readonly string[]): Promise<Ran> => {
    const ran = await runCompressed(settings, clock, args);
    assert.ok(
      ran.code === undefined || ran.code === 0,
      `${args.join(' ')}: ${ran.code} ${ran.err}`,
    );
    return ran;
  };
  /** What a scheduled job runs. Mail goes through both replicas before the next one. */
  const job = async () => {
    await run('rotate', '--due', '--step');
    await load.flows(1, [HERE, THERE]);
  };
  const keysNow = async () => (await store.read()).domains.get(DOMAIN)?.keys ?? [];
  const selectorsIn = async (state: ManifestKey['state']) =>
    (await keysNow())
      .filter((key) => key.state === state)
      .map(({ selector }) => selector)
      .sort();
  const isSignedBy = (selectors: readonly string[]) => (mail: LoadMail) =>
    [...mail.signedBy].sort().join() === selectors.join();
  const mailsOf = (replica: number, from = 0, to = load.mails.length) =>
    load.mails.slice(from, to).filter((mail) => mail.replica === replica);
  const eventsOf = (replica: number, event: string) =>
    replicas[replica]?.waxseal.records.filter((record) => record.event === event) ?? [];

  /** From the mail with the number that it returns on, a replica signs with these. */
  async function signsWith(replica: number, selectors: readonly string[]): Promise<number> {
    const isNew = isSignedBy(selectors);
    await waitFor('the new keys', () => mailsOf(replica).some(isNew), 60_000);
    return load.mails.length;
  }

  it('verifies every message twice, withdraws the old keys, and drops none', async () => {
    const old = await selectorsIn('active');
    assert.equal(old.length, 2, 'RSA and Ed25519');
    load.start(replicas.map(({ waxseal }) => waxseal.port));
    await load.flows(SOME, [HERE, THERE]);

    // One replica loses the keyring, and the whole rotation up to `active` runs.
    await replicas[THERE]?.cutOff();
    await waitFor('the complaint', () => eventsOf(THERE, 'keyring-trouble').length === 1);
    clock.pass(DAY_MS);
    await run('rotate', DOMAIN);
    const fresh = await selectorsIn('active');
    assert.equal(fresh.length, 2);
    assert.deepEqual(await selectorsIn('retiring'), old);
    const newHere = await signsWith(HERE, fresh);
    await load.flows(SOME, [HERE, THERE]);
    await job();

    // It comes back within `maxStale`, on the clock of the rotation too.
    clock.pass(TICK_MS);
    await job();
    const connectedAt = load.mails.length;
    await load.settled(connectedAt);
    assert.ok(mailsOf(HERE, newHere, connectedAt).every(isSignedBy(fresh)), 'the new keys');
    assert.ok(mailsOf(THERE, 0, connectedAt).every(isSignedBy(old)), 'the keys that it had');
    assert.ok(mailsOf(THERE, newHere, connectedAt).length >= SOME);
    await replicas[THERE]?.connect();
    const newThere = await signsWith(THERE, fresh);
    await load.settled(newThere);

    // A week and a day pass, all but the last hours of it.
    const since = (await keysNow()).flatMap(({ retiringSince = [] }) => retiringSince);
    const dueMs = Math.max(...since.map(Date.parse)) + WITHDRAWN_AFTER_MS;
    while (clock.wallMs() + TICK_MS < dueMs) {
      clock.pass(TICK_MS);
      await job();
      assert.deepEqual(await selectorsIn('retiring'), old, 'not before it is due');
    }
    const oldMails = load.mails.filter(isSignedBy(old));
    await arrived.verifiedOnArrival(oldMails);
    await arrived.verify(oldMails, 'pass');
    assert.deepEqual(await selectorsIn('retiring'), old);

    clock.pass(dueMs - clock.wallMs());
    await job();
    assert.deepEqual(await selectorsIn('revoked'), old);
    await arrived.verify(oldMails, 'revoked');

    // A month later they are gone.
    await load.flows(SOME, [HERE, THERE]);
    for (let day = 0; day < 30; day += 5) {
      assert.deepEqual(await selectorsIn('revoked'), old);
      clock.pass(5 * DAY_MS);
      await job();
    }
    assert.deepEqual(await selectorsIn('destroyed'), old);
    assert.deepEqual(
      (await readdir(join(settings.keys.dir, 'private', DOMAIN))).sort(),
      fresh.map((selector) => `${selector}.key`),
    );
    await arrived.verify(oldMails.slice(0, SOME), 'absent');
    await load.stop();

    await arrived.verifiedOnArrival(load.mails);
    for (const { number, reply } of load.mails) assert.match(reply ?? '', /^250 /, `${number}`);
    assert.equal(load.arrived.length, load.mails.length, 'each arrived once');
    const newMails = load.mails.filter(isSignedBy(fresh));
    assert.equal(oldMails.length + newMails.length, load.mails.length, 'by one whole set each');
    assert.ok(mailsOf(HERE, newHere).every(isSignedBy(fresh)), 'and never back');
    assert.ok(mailsOf(THERE, newThere).every(isSignedBy(fresh)), 'and never back');
    for (const [index, { waxseal, pid }] of replicas.entries()) {
      process.kill(pid, 0);
      assert.equal(waxseal.pid, pid);
      assert.equal(eventsOf(index, 'started').length, 1);
      const count = mailsOf(index).length;
      await waitFor('the records', () => waxseal.transactions.length >= count);
      assert.equal(waxseal.transactions.length, count);
      for (const { outcome, unsigned, signatures } of waxseal.transactions) {
        assert.equal(outcome, 'accepted');
        assert.equal(unsigned, undefined);
        assert.equal((signatures as unknown[]).length, 2);
      }
    }
    assert.equal(eventsOf(HERE, 'keyring-trouble').length, 0);
    assert.equal(eventsOf(THERE, 'keyring-well').length, 1);
  });

  it('answers 451 and signs nothing where the keyring was out of reach for longer', async () => {
    await arrived.close(); // no verifier takes a signature of tomorrow
    const replica = await startReplica('asleep', {
      NODE_OPTIONS: `--import=${SLEEPING_MACHINE}`,
      SLEEP_MS: String(DAY_MS + 1),
    });
    replicas.push(replica);
    const { waxseal } = replica;
    const troubles = () => waxseal.records.filter(({ event }) => event === 'keyring-trouble');
    assert.match(await load.one(ASLEEP, waxseal.port), /^250 /);
    await replica.cutOff();
    await waitFor('the complaint', () => troubles().length > 0);
    assert.match(await load.one(ASLEEP, waxseal.port), /^250 /, 'for a day it goes on');
    const before = load.mails.length;
    waxseal.signal('SIGUSR2');
    await waitFor('the end of signing', async () =>
      /^451 4\.7\.5 /.test(await load.one(ASLEEP, waxseal.port)),
    );
    assert.match(await load.one(ASLEEP, waxseal.port), /^451 4\.7\.5 /);
    await replica.connect();
    await waitFor('the keyring', async () => /^250 /.test(await load.one(ASLEEP, waxseal.port)));
    for (const { reply, content, signedBy } of load.mails.slice(before)) {
      assert.equal(content !== undefined, reply?.startsWith('250'), 'what is refused goes nowhere');
      assert.equal(signedBy.length, content === undefined ? 0 : 2, 'and nothing goes unsigned');
    }
    assert.equal(waxseal.pid, replica.pid);
  });
});
