import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { BACKENDS } from '../../src/keys/backends.ts';
import { DAY_MS } from '../../src/keys/lifecycle/policy.ts';
import { LOAD_BACKENDS } from '../support/load-backends.ts';
import { type CopiedReplica, type LinkedReplica, LoadLab } from '../support/load-lab.ts';
import type { LoadMail } from '../support/mail-load.ts';
import { requirePeer } from '../support/peers.ts';
import { waitFor } from '../support/wait-for.ts';

const PER_SECOND = 200;
const HOUR_MS = 3_600_000;
/** `retireAfterDays` and `maxStaleMs`, from the activation of the new keys. */
const WITHDRAWN_AFTER_MS = 8 * DAY_MS;
/** `removeAfterDays`, from then. */
const REMOVED_AFTER_DAYS = 30;
/** The replicas by number: one keeps the keyring all the time, one loses it, one has a copy. */
const HERE = 0;
const THERE = 1;
const COPIED = 2;
const ALL = [HERE, THERE, COPIED];
const SLEEPING_MACHINE = fileURLToPath(new URL('../support/sleeping-machine.ts', import.meta.url));

for (const backend of LOAD_BACKENDS) {
  describe(`a rotation under load, keys in ${backend.name}`, function () {
    const { some } = backend;
    // Where opening a key may take long, a retiring one signs in its place until then.
    const opensAtOnce = BACKENDS[backend.name].isLocal === true;
    this.timeout(300_000);
    let lab: LoadLab;
    let here: LinkedReplica;
    let there: LinkedReplica;
    let copied: CopiedReplica;

    before(async function () {
      const peers = { named: requirePeer(this, 'named'), opendkim: requirePeer(this, 'opendkim') };
      requirePeer(this, 'dkimverify');
      lab = await LoadLab.start(peers, {
        backend: backend.name,
        commands: backend.commands,
        perSecond: PER_SECOND,
      });
      backend.prepare?.(lab);
      await lab.rotate();
      here = await lab.startReplica();
      there = await lab.startReplica();
      copied = await lab.startCopiedReplica();
    });
    after(async () => {
      await lab?.stop();
    });

    /** What a scheduled job runs. Mail goes through all replicas before the next one. */
    async function job(): Promise<void> {
      await lab.commands.run(['rotate', '--due', '--step']);
      await lab.load.flows(1, ALL);
    }

    const isSignedBy = (selectors: readonly string[]) => (mail: LoadMail) =>
      [...mail.signedBy].sort().join() === selectors.join();
    const isSignedByAny = (selectors: readonly string[]) => (mail: LoadMail) =>
      mail.signedBy.some((selector) => selectors.includes(selector));
    const mailsOf = (replica: number, from = 0, to = lab.load.mails.length) =>
      lab.load.mails.slice(from, to).filter((mail) => mail.replica === replica);

    /** When the retiring keys may be withdrawn, on the clock of the commands. */
    async function withdrawalDueMs(): Promise<number> {
      const since = (await lab.keys()).flatMap(({ retiringSince = [] }) => retiringSince);
      return Math.max(...since.map(Date.parse)) + WITHDRAWN_AFTER_MS;
    }

    /** From the message with the number that it returns on, a replica signs with these keys. */
    async function signsWith(replica: number, selectors: readonly string[]): Promise<number> {
      const isNew = isSignedBy(selectors);
      await waitFor('the new keys', () => mailsOf(replica).some(isNew), 60_000);
      return lab.load.mails.length;
    }

    it('verifies every message twice, withdraws the old keys, and drops none', async () => {
      const { commands, load, mail } = lab;
      const old = await lab.selectorsIn('active');
      assert.equal(old.length, 2, 'RSA and Ed25519');
      load.start(lab.replicas.map(({ waxseal }) => waxseal.port));
      await load.flows(some, ALL);

      // One replica loses the keyring, and the whole rotation up to `active` runs.
      await there.cutOff();
      await waitFor('the complaint', () => there.events('keyring-trouble').length > 0, 60_000);
      await commands.pass(DAY_MS);
      await lab.rotate();
      const fresh = await lab.selectorsIn('active');
      assert.equal(fresh.length, 2);
      assert.deepEqual(await lab.selectorsIn('retiring'), old);
      for (const key of await lab.keys()) assert.equal(key.backend, backend.name);
      const newHere = await signsWith(HERE, fresh);
      await load.flows(some, ALL);
      await job();

      // It comes back within `maxStaleMs`, on the clock of the rotation too.
      await commands.pass(DAY_MS / 2);
      await job();
      const connectedAt = load.mails.length;
      await load.settled(connectedAt);
      assert.ok(mailsOf(HERE, newHere, connectedAt).every(isSignedBy(fresh)), 'the new keys');
      assert.ok(mailsOf(THERE, 0, connectedAt).every(isSignedBy(old)), 'the keys that it had');
      assert.ok(mailsOf(THERE, newHere, connectedAt).length >= some);
      await there.connect();
      const newThere = await signsWith(THERE, fresh);

      // A copy comes late, and where that can be, before its keys can be used.
      const kept = backend.keepFrom?.(lab, copied, fresh);
      const lateAt = load.mails.length;
      await load.settled(lateAt);
      assert.ok(mailsOf(COPIED, 0, lateAt).every(isSignedBy(old)), 'the keys that it had');
      assert.ok(mailsOf(COPIED, newHere, lateAt).length >= some);
      await copied.copy('manifests');
      if (kept !== undefined) {
        await waitFor('the complaint', () => kept.isTold(), 60_000);
        await load.flows(some, ALL);
        const copiedAt = load.mails.length;
        await load.settled(copiedAt);
        assert.ok(mailsOf(COPIED, 0, copiedAt).every(isSignedBy(old)), 'the keys that it can use');
        await kept.release();
      }
      const newCopied = await signsWith(COPIED, fresh);
      await load.settled(newCopied);
      assert.deepEqual(await lab.selectorsIn('retiring'), old, 'they took them in time');

      // Days pass, to the last hour of the old keys.
      for (;;) {
        const leftMs = (await withdrawalDueMs()) - commands.nowMs();
        if (leftMs <= HOUR_MS) break;
        await commands.pass(Math.min(backend.jobEveryMs, leftMs - HOUR_MS));
        await job();
        assert.deepEqual(await lab.selectorsIn('retiring'), old, 'not before it is due');
      }
      const oldMails = load.mails.filter(isSignedByAny(old));
      await mail.verifiedOnArrival(oldMails);
      await mail.verify(oldMails, () => 'pass');
      assert.deepEqual(await lab.selectorsIn('retiring'), old, 'before they are withdrawn');
      await commands.pass(HOUR_MS);
      await job();
      assert.deepEqual(await lab.selectorsIn('revoked'), old);
      await mail.verify(oldMails, (selector) => (old.includes(selector) ? 'revoked' : 'pass'));

      // A month later they are gone.
      await load.flows(some, ALL);
      for (let day = 0; day < REMOVED_AFTER_DAYS; day += 10) {
        assert.deepEqual(await lab.selectorsIn('revoked'), old);
        await commands.pass(10 * DAY_MS);
        await job();
      }
      assert.deepEqual(await lab.selectorsIn('destroyed'), old);
      await backend.assertGone(lab, { old, fresh });
      const wholly = oldMails.filter(isSignedBy(old));
      await mail.verify(wholly.slice(0, some), () => 'absent');
      await load.stop();
      backend.assertCalls?.(lab);

      await mail.verifiedOnArrival(load.mails);
      for (const { number, reply } of load.mails) assert.match(reply ?? '', /^250 /, `${number}`);
      assert.equal(load.arrived.length, load.mails.length, 'each arrived once');
      const mixed = oldMails.filter(isSignedByAny(fresh));
      if (opensAtOnce) assert.equal(mixed.length, 0, 'by one whole set each');
      const algorithmOf = new Map(
        (await lab.keys()).map(({ selector, algorithm }) => [selector, algorithm]),
      );
      for (const { signedBy, number } of load.mails) {
        const algorithms = signedBy.map((selector) => algorithmOf.get(selector));
        assert.deepEqual(algorithms.sort(), ['ed25519', 'rsa2048'], `${number}`);
      }
      assert.ok(mailsOf(HERE, newHere).every(isSignedBy(fresh)), 'and never back');
      assert.ok(mailsOf(THERE, newThere).every(isSignedBy(fresh)), 'and never back');
      assert.ok(mailsOf(COPIED, newCopied).every(isSignedBy(fresh)), 'and never back');
    });

    it('needs no restart, and has all relays log each message as signed', async () => {
      for (const [number, { waxseal, pid, events }] of [here, there, copied].entries()) {
        process.kill(pid, 0); // it is there
        assert.equal(events('started').length, 1);
        const count = mailsOf(number).length;
        await waitFor('the records', () => waxseal.transactions.length >= count);
        assert.equal(waxseal.transactions.length, count);
        for (const { outcome, unsigned, signatures } of waxseal.transactions) {
          assert.equal(outcome, 'accepted');
          assert.equal(unsigned, undefined);
          assert.equal((signatures as unknown[]).length, 2);
        }
      }
      const troubles: number[] = [];
      for (const { events } of [here, there, copied]) {
        troubles.push(events('keyring-trouble').length);
        assert.equal(events('keyring-well').length > 0, events('keyring-trouble').length > 0);
      }
      if (opensAtOnce) assert.deepEqual(troubles, [0, 1, 1]);
    });

    it('answers 451 and signs nothing where the keyring was out of reach for longer', async () => {
      const { load } = lab;
      await lab.mail.close(); // no verifier takes a signature of tomorrow
      const number = lab.replicas.length;
      const replica = await lab.startReplica({
        NODE_OPTIONS: `--import=${SLEEPING_MACHINE}`,
        SLEEP_MS: String(DAY_MS + 1),
      });
      const send = async () => await load.one(number, replica.waxseal.port);
      assert.match(await send(), /^250 /);
      await replica.cutOff();
      await waitFor('the complaint', () => replica.events('keyring-trouble').length > 0);
      assert.match(await send(), /^250 /, 'for a day it goes on');
      const before = load.mails.length;
      replica.waxseal.signal('SIGUSR2');
      await waitFor('the end of signing', async () => /^451 4\.7\.5 /.test(await send()));
      assert.match(await send(), /^451 4\.7\.5 /);
      await replica.connect();
      await waitFor('the keyring', async () => /^250 /.test(await send()));
      for (const { reply, content, signedBy } of load.mails.slice(before)) {
        assert.equal(
          content !== undefined,
          reply?.startsWith('250'),
          'what is refused goes nowhere',
        );
        assert.equal(signedBy.length, content === undefined ? 0 : 2, 'and nothing goes unsigned');
      }
      assert.equal(replica.events('started').length, 1);
    });
  });
}
