/** A relay with very many domains whose keys are wrapped by KMS, on a KMS that keeps AWS's quotas. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { systemClock } from '../src/base/clock.ts';
import { BACKENDS } from '../src/keys/backends.ts';
import { keyAlgorithmNamed } from '../src/keys/key-algorithm.ts';
import { Kms } from '../src/keys/kms/kms.ts';
import { DOMAINS_PER_FILE } from '../src/keys/store/file-store.ts';
import { build } from '../test/unit/config/build.ts';
import { startProgram } from './children.ts';
import { KMS_CREDENTIALS } from './kms-relay.ts';
import type { KmsStubCounts, KmsStubOptions, KmsStubReport } from './kms-stub.ts';
import { memoryMiB, peakMemory } from './proc-sample.ts';
import type { Stage } from './stage.ts';
import { startRelay } from './systems.ts';

const LONGEST_START_MS = 180_000;
const POLL_MS = 50;
/** A relay with nothing to do collects its garbage meanwhile. */
const SETTLING_MS = 3000;
/** Wrapped at the same time. */
const AT_ONCE = 32;

export interface ScaleFigures {
  /** Until it listens. */
  readonly startSeconds: number;
  /** Until all keys are decrypted. */
  readonly openSeconds: number;
  /** Then. */
  readonly residentMiB: number;
  readonly anonymousMiB: number;
  readonly peakResidentMiB: number;
  readonly throttled: number;
}

/** Starts it once. @param domains each with one RSA-2048 key */
export async function startWithManyDomains(stage: Stage, domains: number): Promise<ScaleFigures> {
  Object.assign(process.env, KMS_CREDENTIALS);
  const options: KmsStubOptions = { quotas: true };
  const stub = startProgram('./kms-stub.ts', options);
  const { endpoint, wrappingKey } = await stub.next<KmsStubReport>();
  const settings = { regions: ['eu-central-1'], endpoints: [endpoint], wrappingKey };
  let begunMs = 0;
  const relay = await startRelay(stage, {
    settings: { kms: settings },
    startMs: LONGEST_START_MS,
    makeKeys: async (_configFile, dir) => {
      const log = { warning: () => undefined, kmsCalls: () => undefined };
      const kms = new Kms({ ...build('').config.kms, ...settings }, { clock: systemClock, log });
      await writeManifests(kms, join(dir, 'keys'), domains);
      await kms.close();
      begunMs = performance.now();
    },
  });
  const seconds = () => (performance.now() - begunMs) / 1000;
  const startSeconds = seconds();
  const { peak } = await peakMemory(relay.pid, async () => {
    while ((await stub.ask<KmsStubCounts>('counts')).decrypted < domains) await sleep(POLL_MS);
  });
  const openSeconds = seconds();
  await sleep(SETTLING_MS);
  const { resident, anonymous } = memoryMiB(relay.pid);
  await relay.stop();
  const { throttled } = await stub.ask<KmsStubCounts>('counts');
  await stub.stop();
  const memory = { residentMiB: resident, anonymousMiB: anonymous };
  return { startSeconds, openSeconds, ...memory, peakResidentMiB: peak.resident, throttled };
}

/** One key pair, wrapped anew for each domain: making 10,000 pairs would take the machine an hour. */
async function writeManifests(kms: Kms, keysDir: string, domains: number): Promise<void> {
  const algorithm = keyAlgorithmNamed('rsa2048');
  if (algorithm === undefined) throw new Error('no rsa2048');
  const options = { dir: keysDir, masterKeyFile: '', masterKey: 'must-exist', kms } as const;
  const backend = await BACKENDS['kms-envelope'].connect(options);
  const { publicKey, privateKey } = await algorithm.generate();
  const entries: [string, unknown][] = [];
  const numbers = Array.from({ length: domains }, (_item, index) => index).values();
  const wrapNext = async () => {
    for (const number of numbers) {
      const domain = `d${number}.example`;
      const identity = { domain, selector: 'bench', algorithm: algorithm.name };
      const { material } = await backend.keep(identity, privateKey);
      const key = {
        selector: identity.selector,
        algorithm: identity.algorithm,
        backend: 'kms-envelope',
        state: 'active',
        publicKey: algorithm.recordOctets(publicKey).toString('base64'),
        ttlS: 3600,
        createdAt: '2026-11-21T09:00:00.000Z',
        activatedAt: '2026-11-21T09:00:00.000Z',
        material,
      };
      entries.push([domain, { subdomains: false, keys: [key] }]);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, wrapNext));
  await mkdir(keysDir, { recursive: true });
  for (let start = 0; start < entries.length; start += DOMAINS_PER_FILE) {
    const part = Object.fromEntries(entries.slice(start, start + DOMAINS_PER_FILE));
    // As `waxseal keys` writes them.
    const manifest = stringify({ version: 1, generation: 1, domains: part }, { lineWidth: 0 });
    await writeFile(join(keysDir, `keyring-${start}.yaml`), manifest);
  }
}
