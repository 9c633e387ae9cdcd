import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { recordName } from '../../src/keys/key-name.ts';
import { recordValue } from '../../src/keys/key-record.ts';
import type { ManifestKey } from '../../src/keys/manifest.ts';
import { FileJournal } from '../../src/keys/store/file-journal.ts';
import { FileKeyringStore } from '../../src/keys/store/file-store.ts';
import { type FakeDns, startDns } from '../support/dns.ts';
import { type KeyringPlace, makeKeyringPlace, removeKeyringPlace } from '../support/keyring.ts';
import { type Finished, runWaxseal } from '../support/run-waxseal.ts';

const KILL_AT = fileURLToPath(new URL('../support/kill-at.ts', import.meta.url));
const DOMAIN = 'example.com';
const WAITING = 4;
const ZONE = {
  [DOMAIN]: { NS: [`ns.${DOMAIN}`] },
  [`ns.${DOMAIN}`]: { A: ['127.0.0.1'] },
};

interface Place extends KeyringPlace {
  rotate(killAt?: number): Promise<Finished>;
  publish(): Promise<void>;
}

/** The commands as processes of their own, with records that a person puts into DNS. */
describe('keys rotate, as processes', function () {
  this.timeout(400_000);

  async function rotate(place: KeyringPlace, dns: FakeDns, killAt: number): Promise<Finished> {
    return await runWaxseal(['keys', 'rotate', DOMAIN, '--step'], {
      env: {
        WAXSEAL_KEYS_DIR: place.dir,
        WAXSEAL_KEYS_MASTER_KEY_FILE: place.masterKeyFile,
        WAXSEAL_DNS_SERVERS: dns.server,
        WAXSEAL_DNS_HINTS: JSON.stringify([{ zone: DOMAIN, servers: [dns.server] }]),
        ...(killAt === 0 ? {} : { KILL_AT: String(killAt), NODE_OPTIONS: `--import=${KILL_AT}` }),
      },
    });
  }

  async function keysIn(place: KeyringPlace): Promise<readonly ManifestKey[]> {
    const { domains } = await new FileKeyringStore(place.dir).read();
    return domains.get(DOMAIN)?.keys ?? [];
  }

  /** What a person does who reads the instructions. */
  async function publish(place: KeyringPlace, dns: FakeDns): Promise<void> {
    for (const key of await keysIn(place)) {
      const strings = recordValue(key).match(/.{1,255}/g) ?? [];
      dns.set(recordName(key.selector, DOMAIN), 'TXT', [strings], 0);
    }
  }

  /** Runs it again until it is done. */
  async function finish(place: Place): Promise<void> {
    for (let run = 0; run < 6; run += 1) {
      const { code, stderr } = await place.rotate();
      if (code === 0) return;
      assert.equal(code, WAITING, stderr);
      await place.publish();
    }
    assert.fail('it does not come to an end');
  }

  async function checkEnd(place: KeyringPlace, context: string): Promise<void> {
    const keys = await keysIn(place);
    const states = keys.map((key) => `${key.algorithm} ${key.state}`);
    assert.deepEqual(states.sort(), ['ed25519 active', 'rsa2048 active'], context);
    const files = await readdir(path.join(place.dir, 'private', DOMAIN));
    const known = keys.map((key) => `${key.selector}.key`);
    assert.deepEqual(files.sort(), known.sort(), `${context}: a private key nobody knows`);
    const intents = new Set<string>();
    for await (const entry of new FileJournal(place.dir).read({
      domain: DOMAIN,
    })) {
      if (entry.event === 'key-intended') intents.add(entry.intent ?? '');
    }
    for (const key of keys) assert.ok(intents.has(key.intent ?? ''), `${context}: not journaled`);
  }

  async function inPlace(test: (place: Place) => Promise<void>): Promise<void> {
    const place = await makeKeyringPlace();
    const dns = await startDns(ZONE, { negativeTtlS: 0 });
    try {
      await test({
        ...place,
        rotate: async (killAt = 0) => await rotate(place, dns, killAt),
        publish: async () => await publish(place, dns),
      });
    } finally {
      await dns.close();
      await removeKeyringPlace(place);
    }
  }

  for (const [phase, prepare] of [
    ['creates and publishes', async () => undefined],
    [
      'verifies and activates',
      async (place: Place) => {
        assert.equal((await place.rotate()).code, WAITING);
        await place.publish();
      },
    ],
  ] as const) {
    it(`killed at any step while it ${phase}, and run again, ends in the same state`, async () => {
      let next = 1;
      let survivor = Number.POSITIVE_INFINITY;
      const worker = async () => {
        while (next < survivor) {
          const step = next;
          next += 1;
          await inPlace(async (place) => {
            await prepare(place);
            const run = await place.rotate(step);
            if (run.code !== null) survivor = Math.min(survivor, step);
            await finish(place);
            await checkEnd(place, `killed at ${step}`);
          });
        }
      };
      await Promise.all([worker(), worker(), worker()]);
      assert.ok(survivor > 8, `only ${survivor - 1} steps`);
    });
  }
});
