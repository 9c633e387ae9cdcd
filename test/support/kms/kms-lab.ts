import type { Clock } from '../../../src/base/clock.ts';
import { systemClock } from '../../../src/base/clock.ts';
import type { KeptKey, KeyBackend, StoredKey } from '../../../src/keys/backend.ts';
import type { BackendName } from '../../../src/keys/backend-names.ts';
import { BACKENDS } from '../../../src/keys/backends.ts';
import { keyAlgorithmNamed } from '../../../src/keys/key-algorithm.ts';
import { Kms } from '../../../src/keys/kms/kms.ts';
import type { KmsSettings } from '../../../src/keys/kms/kms-settings.ts';
import type { KeyIdentity } from '../../../src/keys/sealed-key.ts';
import { build } from '../../unit/config/build.ts';
import { FakeKms } from './fake-kms.ts';

/** Credentials for the SDK's default chain; the in-repo KMS believes them. */
export const KMS_ENVIRONMENT = {
  AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  AWS_EC2_METADATA_DISABLED: 'true',
};

/** Puts them into the environment. @returns a function that takes them out again */
export function useKmsCredentials(): () => void {
  const before = Object.keys(KMS_ENVIRONMENT).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, KMS_ENVIRONMENT);
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
}

/** The in-repo KMS and Waxseal's way to it, in this process. */
export class KmsLab {
  readonly server: FakeKms;
  readonly wrappingKey: string;
  readonly alerts: string[] = [];
  readonly counts: object[] = [];
  readonly settings: KmsSettings;
  readonly #kms: Kms[] = [];
  readonly #clock: Clock;
  readonly #dropCredentials = useKmsCredentials();

  private constructor(server: FakeKms, clock: Clock, settings: Partial<KmsSettings>) {
    this.server = server;
    this.#clock = clock;
    this.wrappingKey = server.makeWrappingKey();
    this.settings = {
      ...build('').config.kms,
      regions: [...server.regions.keys()],
      endpoints: server.endpoints,
      wrappingKey: this.wrappingKey,
      ...settings,
    };
  }

  /** @param clock of Waxseal's side; `serverClock` is that of the KMS */
  static async start(
    options: {
      readonly regions?: readonly string[];
      readonly settings?: Partial<KmsSettings>;
      readonly clock?: Clock;
      readonly serverClock?: Clock;
    } = {},
  ): Promise<KmsLab> {
    const { clock = systemClock, serverClock = clock, settings = {} } = options;
    return new KmsLab(await FakeKms.start(options.regions, serverClock), clock, settings);
  }

  /** What a process has; another one is another process, as far as KMS can tell. */
  openKms(settings: Partial<KmsSettings> = {}): Kms {
    const log = {
      warning: ({ message }: { message: string }) => {
        this.alerts.push(message);
      },
      kmsCalls: (record: object) => {
        this.counts.push(record);
      },
    };
    const parts = { clock: this.#clock, log, random: () => 1 };
    const kms = new Kms({ ...this.settings, ...settings }, parts);
    this.#kms.push(kms);
    return kms;
  }

  connect(name: BackendName, kms: Kms = this.openKms()): Promise<KeyBackend> {
    return BACKENDS[name].connect({ dir: '', masterKeyFile: '', masterKey: 'must-exist', kms });
  }

  async stop(): Promise<void> {
    for (const kms of this.#kms) await kms.close();
    await this.server.stop();
    this.#dropCredentials();
  }
}

/** A key as the manifest would hold it. */
export function stored(identity: KeyIdentity, { publicKey, material }: KeptKey): StoredKey {
  const algorithm = keyAlgorithmNamed(identity.algorithm);
  if (algorithm === undefined) throw new Error(`no algorithm ${identity.algorithm}`);
  const octets = algorithm.recordOctets(publicKey);
  return { ...identity, publicKey: octets.toString('base64'), material };
}
