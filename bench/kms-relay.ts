/** A relay whose RSA key is in KMS, or wrapped by it. */
import { join } from 'node:path';
import { systemClock } from '../src/base/clock.ts';
import type { BackendName } from '../src/keys/backend-names.ts';
import { BACKENDS } from '../src/keys/backends.ts';
import { keyAlgorithmNamed } from '../src/keys/key-algorithm.ts';
import { Kms } from '../src/keys/kms/kms.ts';
import { FileKeyringStore } from '../src/keys/store/file-store.ts';
import { build } from '../test/unit/config/build.ts';
import { startProgram } from './children.ts';
import type { KmsStubOptions, KmsStubReport } from './kms-stub.ts';
import { FROM_DOMAIN, type Stage } from './stage.ts';
import { type System, startRelay } from './systems.ts';

export interface KmsRelay extends System {
  readonly endpoint: string;
  /** Of the signing key, for kms-sign. */
  readonly arn: string;
  /** From now on its KMS answers Sign so late. */
  setSignMs(ms: 0 | 5 | 20): Promise<void>;
}

/** Dummy credentials for the SDK's default chain, in this process and those that it starts. */
export const KMS_CREDENTIALS = {
  AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  AWS_EC2_METADATA_DISABLED: 'true',
};

export async function startKmsRelay(stage: Stage, backend: BackendName): Promise<KmsRelay> {
  Object.assign(process.env, KMS_CREDENTIALS);
  const options: KmsStubOptions = { quotas: false };
  const stub = startProgram('./kms-stub.ts', options);
  const { endpoint, wrappingKey } = await stub.next<KmsStubReport>();
  const settings = {
    regions: ['eu-central-1'],
    endpoints: [endpoint],
    wrappingKey,
    quotas: { rsaPerSecond: 100_000, eccPerSecond: 100_000 },
    quotaShare: 100,
  };
  let arn = '';
  const relay = await startRelay(stage, {
    settings: { kms: settings },
    makeKeys: async (_configFile, dir) => {
      const quiet = { warning: () => undefined, kmsCalls: () => undefined };
      const config = { ...build('').config.kms, ...settings };
      const kms = new Kms(config, { clock: systemClock, log: quiet });
      arn = await makeKey(kms, backend, join(dir, 'keys'));
      await kms.close();
    },
  });
  const stop = async () => {
    await relay.stop();
    await stub.stop();
  };
  const setSignMs = async (ms: number) => {
    await stub.ask(`sign-in-${ms}`);
  };
  return { port: relay.port, pid: relay.pid, stop, endpoint, arn, setSignMs };
}

/** One active RSA-2048 key. */
async function makeKey(kms: Kms, backend: BackendName, keysDir: string): Promise<string> {
  const connected = await BACKENDS[backend].connect({
    dir: keysDir,
    masterKeyFile: '',
    masterKey: 'must-exist',
    kms,
  });
  const domain = FROM_DOMAIN.rsa;
  const identity = { domain, selector: 'bench', algorithm: 'rsa2048' };
  const { publicKey, material } = await connected.create(identity, 'bench', 'now');
  const now = new Date().toISOString();
  const octets = keyAlgorithmNamed('rsa2048')?.recordOctets(publicKey);
  await new FileKeyringStore(keysDir).change(async () => {
    const key = {
      selector: identity.selector,
      algorithm: identity.algorithm,
      backend,
      state: 'active',
      publicKey: octets?.toString('base64') ?? '',
      ttlS: 3600,
      createdAt: now,
      activatedAt: now,
      retiringSince: undefined,
      material,
    } as const;
    return { domain: { domain, subdomains: false, keys: [key] }, result: undefined };
  });
  return material?.arn ?? '';
}
