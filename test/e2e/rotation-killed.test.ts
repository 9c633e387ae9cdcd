import assert from 'node:assert/strict';
import type { Ended } from '../support/cli-place.ts';
import { requirePeer } from '../support/peers.ts';
import { type KillPoint, RotationLab, ZONE } from '../support/rotation-lab.ts';
import { waitFor } from '../support/wait-for.ts';
import { zoneHistory, zoneTexts } from '../support/zone-history.ts';

const disk = (nth: number): KillPoint => ({ kind: 'disk', nth });
const dns = (nth: number, when: 'before' | 'after'): KillPoint => ({ kind: 'dns', nth, when });
const kms = (operation: string, nth: number, when: 'before' | 'after'): KillPoint => ({
  kind: 'kms',
  operation,
  nth,
  when,
});

/** One domain: where each of its three commands is killed. */
interface Row {
  readonly backend: 'kms-sign' | 'kms-envelope';
  readonly rotate: KillPoint;
  readonly revoke: KillPoint;
  readonly destroy: KillPoint;
}

const WRAPPED = 'GenerateDataKeyPairWithoutPlaintext';

/**
 * The steps on the disk: `rotate` has 28 (lease, intents, manifest, lease; records … activation),
 * `revoke` 16, `destroy` 12. A withdrawal asks first whether the record stands (an update without
 * changes, for each key), then reads it, then replaces both: its third update is the one that counts.
 */
const ROWS: readonly Row[] = [
  {
    backend: 'kms-sign',
    rotate: kms('CreateKey', 1, 'before'),
    revoke: dns(1, 'before'),
    destroy: kms('DisableKey', 1, 'before'),
  },
  {
    backend: 'kms-sign',
    rotate: kms('CreateKey', 1, 'after'),
    revoke: dns(3, 'before'),
    destroy: kms('DisableKey', 2, 'after'),
  },
  {
    backend: 'kms-sign',
    rotate: kms('GetPublicKey', 2, 'before'),
    revoke: dns(3, 'after'),
    destroy: kms('ScheduleKeyDeletion', 1, 'before'),
  },
  {
    backend: 'kms-sign',
    rotate: dns(1, 'after'),
    revoke: disk(3),
    destroy: kms('ScheduleKeyDeletion', 2, 'after'),
  },
  {
    backend: 'kms-sign',
    rotate: disk(25),
    revoke: disk(11),
    destroy: disk(5),
  },
  {
    backend: 'kms-envelope',
    rotate: kms(WRAPPED, 2, 'before'),
    revoke: dns(3, 'after'),
    destroy: dns(2, 'before'),
  },
  {
    backend: 'kms-envelope',
    rotate: kms(WRAPPED, 1, 'after'),
    revoke: dns(1, 'before'),
    destroy: dns(2, 'after'),
  },
  {
    backend: 'kms-envelope',
    rotate: kms('Decrypt', 2, 'before'),
    revoke: disk(2),
    destroy: disk(11),
  },
];

const NAMED = ROWS.map((row, index) => ({ ...row, domain: `d${index + 1}.${ZONE}` }));
const AT_ONCE = 5;

/**
 * The command line as processes of its own, a real BIND that takes dynamic updates, keys in the
 * in-repo KMS: each command dies by SIGKILL at one point, with others at work in the same keyring,
 * and is run again.
 */
describe('a rotation that is killed, with KMS and a real BIND', function () {
  this.timeout(300_000);
  let lab: RotationLab;
  let dig: string;

  before(async function () {
    dig = requirePeer(this, 'dig');
    lab = await RotationLab.start(requirePeer(this, 'named'));
    lab.kms.account.listDelayMs = 1000; // what was just made is not in the lists of KMS yet
  });
  after(() => lab?.stop());

  async function forEachRow(action: (row: (typeof NAMED)[number]) => Promise<void>): Promise<void> {
    const queue = NAMED.values();
    const worker = async () => {
      for (const row of queue) await action(row);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  function assertKilled({ signal, stderr }: Ended, row: Row, point: KillPoint): void {
    assert.equal(signal, 'SIGKILL', `${JSON.stringify([row.backend, point])} ${stderr}`);
  }

  const rest = async (): Promise<void> => {
    const run = await lab.place.run(['keys', 'rotate', '--due', '--step']);
    assert.equal(run.code, 0, run.stderr);
  };

  /** Selector without its month, by what stands in the keyring, in DNS and in KMS. */
  async function picture(domain: string) {
    const { keys, rotatingSince } = await lab.place.entry(domain);
    const short = (selector: string) => selector.replace(/^wx\d{6}/, '');
    const states = keys.map(({ selector, state }) => [short(selector), state]);
    const records = (await zoneTexts(dig, lab.bind.port, ZONE))
      .filter(({ name }) => name.endsWith(`._domainkey.${domain}`))
      .map(({ name, value }) => [
        short(name.split('.')[0] ?? ''),
        value.endsWith('p=') ? 'empty' : 'key',
      ]);
    const inKms = lab.signingKeys
      .filter((key) => key.domain === domain)
      .map(({ selector, state }) => [short(selector), state]);
    return {
      rotatingSince,
      keys: Object.fromEntries(states.sort()),
      records: Object.fromEntries(records.sort()),
      // Twice the same selector would be a second key of one intent.
      kms: inKms.map((pair) => pair.join(' ')).sort(),
    };
  }

  const inKms = (row: Row, kept: string, old: string) =>
    row.backend === 'kms-sign'
      ? [`e1 ${old}`, `e2 ${kept}`, `r1 ${old}`, `r2 ${kept}`]
      : /* a wrapped key is nowhere but in the keyring */ [];

  it('killed while it makes, publishes and activates the next keys', async () => {
    await forEachRow(async (row) => {
      const args = ['keys', 'rotate', row.domain, '--step'];
      const first = await lab.place.run([...args, '--backend', row.backend]);
      assert.equal(first.code, 0, first.stderr);
      await lab.age(row.domain, 'activatedAt', 200);
      assertKilled(await lab.killed(args, row.rotate), row, row.rotate);
      const again = await lab.place.run(args);
      assert.equal(again.code, 0, again.stderr);
    });
    for (const row of NAMED) {
      assert.deepEqual(
        await picture(row.domain),
        {
          rotatingSince: undefined,
          keys: { e1: 'retiring', e2: 'active', r1: 'retiring', r2: 'active' },
          records: { e1: 'key', e2: 'key', r1: 'key', r2: 'key' },
          kms: inKms(row, 'Enabled', 'Enabled'),
        },
        JSON.stringify(row),
      );
    }
  });

  it('killed while it withdraws the old keys', async () => {
    await forEachRow(async (row) => {
      await lab.age(row.domain, 'retiringSince', 10);
      const args = ['keys', 'revoke', row.domain];
      assertKilled(await lab.killed(args, row.revoke), row, row.revoke);
    });
    await rest();
    for (const row of NAMED) {
      assert.deepEqual(
        await picture(row.domain),
        {
          rotatingSince: undefined,
          keys: { e1: 'revoked', e2: 'active', r1: 'revoked', r2: 'active' },
          records: { e1: 'empty', e2: 'key', r1: 'empty', r2: 'key' },
          kms: inKms(row, 'Enabled', 'Enabled'),
        },
        JSON.stringify(row),
      );
      for (const { revokedAt, state } of (await lab.place.entry(row.domain)).keys) {
        assert.equal(revokedAt !== undefined, state === 'revoked', JSON.stringify(row));
      }
    }
  });

  it('killed while it destroys the old keys', async () => {
    await forEachRow(async (row) => {
      await lab.age(row.domain, 'revokedAt', 31);
      const args = ['keys', 'destroy', row.domain, '--reason', 'old'];
      assertKilled(await lab.killed(args, row.destroy), row, row.destroy);
    });
    await rest();
    for (const row of NAMED) {
      assert.deepEqual(
        await picture(row.domain),
        {
          rotatingSince: undefined,
          keys: { e1: 'destroyed', e2: 'active', r1: 'destroyed', r2: 'active' },
          records: { e2: 'key', r2: 'key' },
          kms: inKms(row, 'Enabled', 'PendingDeletion'),
        },
        JSON.stringify(row),
      );
    }
  });

  it('adopts a key that KMS makes only after the command is dead', async () => {
    const domain = `late.${ZONE}`;
    const args = ['keys', 'rotate', domain, '--step', '--backend', 'kms-sign'];
    const made = () => lab.signingKeys.filter((key) => key.domain === domain);
    const faults = lab.kms.region().faults;
    const asked = () => lab.kms.count('CreateKey');
    const before = asked();
    faults.inject({ kind: 'latency', ms: 3000 }, { operation: 'CreateKey', times: 1 });
    const first = lab.place.start(args);
    await waitFor('CreateKey', () => asked() > before);
    first.kill();
    assert.equal((await first.ended).signal, 'SIGKILL');
    assert.deepEqual(made(), []);
    const again = await lab.place.run(args);
    assert.equal(again.code, 0, again.stderr);
    assert.deepEqual((await picture(domain)).kms, ['e1 Enabled', 'r1 Enabled']);
  });

  it('leaves no key in KMS and no record in the zone, ever, that the journal does not know', async () => {
    const journal = await lab.place.journal();
    const intents = new Set(
      journal.flatMap(({ event, intent }) => (event === 'key-intended' ? [intent] : [])),
    );
    for (const key of lab.signingKeys) assert.ok(intents.has(key.intent), JSON.stringify(key));
    const written = new Set(
      journal.flatMap(({ event, record }) =>
        record !== undefined && /^record-(intended|written)$/.test(event)
          ? [`${record.name} ${record.ttlS} ${record.value}`]
          : [],
      ),
    );
    const history = await zoneHistory(dig, lab.bind.port, ZONE);
    const added = history.filter(({ kind }) => kind === 'added');
    // Four keys, two of which became empty; each once, whatever was run twice.
    assert.equal(added.length, NAMED.length * 6 + 2);
    for (const { name, ttlS, value } of added) {
      assert.ok(written.has(`${name} ${ttlS} ${value}`), `${name} is not in the journal`);
    }
    const { state } = lab.kms.account.find('eu-central-1', lab.wrappingKey);
    assert.equal(state, 'Enabled', 'no command ends the key that wraps others');
    const orphans = await lab.place.run(['keys', 'orphans']);
    assert.deepEqual(
      [orphans.code, orphans.stdout],
      [0, 'the keyring knows every private key (back ends asked: kms-sign, kms-envelope)\n'],
    );
  });
});
