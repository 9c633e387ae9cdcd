import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type Clock, systemClock } from '../../../src/base/clock.ts';
import type { KeysParts, KeysSettings } from '../../../src/cli/keys-command.ts';
import type { Publisher } from '../../../src/keys/dns/publisher.ts';
import { checkSeen } from '../../../src/keys/dns/seen.ts';
import { seenOptions } from '../../../src/keys/dns/seen-options.ts';
import { keyAlgorithmNamed } from '../../../src/keys/key-algorithm.ts';
import type { KmsSettings } from '../../../src/keys/kms/kms-settings.ts';
import type { ManifestDomain } from '../../../src/keys/manifest.ts';
import { DOMAINS_PER_FILE, FileKeyringStore } from '../../../src/keys/store/file-store.ts';
import { type FakeDns, startDns } from '../dns.ts';
import { type KeyringPlace, makeKeyringPlace, removeKeyringPlace } from '../keyring.ts';
import { habits } from '../lifecycle-cli.ts';
import { type Ran, runKeysCommandLine } from '../run-keys.ts';
import { KmsLab } from './kms-lab.ts';

const PARENT = 'many.test';
const DAY_MS = 86_400_000;
/** Key pairs that the KMS hands out, in turn. */
const PAIRS = 16;

export interface RotationLabOptions {
  readonly domains: number;
  /** Of KMS; by default one. */
  readonly regions?: readonly string[];
  readonly settings?: Partial<KmsSettings>;
  /** Of KMS and of the command, so that quotas by second are kept at any speed. */
  readonly clock?: Clock;
}

/**
 * Many domains, each with one old RSA-2048 key wrapped by the in-repo KMS; a DNS server that has
 * what the command publishes; the `keys` commands in this process, on files.
 */
export class RotationLab {
  readonly kms: KmsLab;
  readonly domains: readonly string[];
  readonly #dns: FakeDns;
  readonly #place: KeyringPlace;
  readonly #clock: Clock;

  private constructor(kms: KmsLab, dns: FakeDns, place: KeyringPlace, options: RotationLabOptions) {
    this.kms = kms;
    this.#dns = dns;
    this.#place = place;
    this.#clock = options.clock ?? systemClock;
    this.domains = Array.from({ length: options.domains }, (_, index) => `d${index}.${PARENT}`);
  }

  static async start(options: RotationLabOptions): Promise<RotationLab> {
    const { clock = systemClock, settings = {}, regions } = options;
    const kms = await KmsLab.start({ clock, settings, ...(regions && { regions }) });
    const pairs = Array.from({ length: PAIRS }, makePair);
    kms.server.account.readyPairs.set('RSA_2048', pairs);
    const zone = { [PARENT]: { NS: [`ns.${PARENT}`] }, [`ns.${PARENT}`]: { A: ['127.0.0.1'] } };
    const dns = await startDns(zone, { negativeTtlS: 0 });
    const lab = new RotationLab(kms, dns, await makeKeyringPlace(), options);
    await lab.#writeKeyring();
    return lab;
  }

  /** The keyring as it stands. */
  async entries(): Promise<readonly ManifestDomain[]> {
    const { domains } = await new FileKeyringStore(this.#place.dir).read();
    return [...domains.values()];
  }

  /**
   * `waxseal keys ARGS`
   *
   * @param kms what the section `kms` has otherwise than the lab
   */
  async run(args: readonly string[], kms: Partial<KmsSettings> = {}): Promise<Ran> {
    const settings = { ...this.#settings(), kms: { ...this.kms.settings, ...kms } };
    return await runKeysCommandLine(args, async () => settings, this.#parts());
  }

  async stop(): Promise<void> {
    await this.kms.stop();
    await this.#dns.close();
    await removeKeyringPlace(this.#place);
  }

  #settings(): Omit<KeysSettings, 'kms'> {
    const { dir, masterKeyFile } = this.#place;
    const server = this.#dns.server;
    return {
      keys: { dir, masterKeyFile, rotation: habits },
      dns: {
        servers: [server],
        timeoutMs: 5000,
        attempts: 2,
        hints: [{ zone: PARENT, servers: [server] }],
      },
    };
  }

  #parts(): KeysParts {
    return {
      clock: this.#clock,
      openLookup: () => {
        throw new Error('not asked for here');
      },
      openLifecycle: async (settings, { command, progress, keyring }) => {
        const seen = seenOptions(settings.dns, [], this.#clock);
        return {
          access: {
            ...keyring,
            publisherFor: () => this.#publisher(),
            seen: async (expectation, choice) =>
              await checkSeen(expectation, { ...seen, ...choice }),
            caller: async () => 'tester',
            command,
            holder: 'tester',
            sleep: (ms) =>
              new Promise((resolve) => {
                this.#clock.after(ms, resolve);
              }),
            progress,
          },
          close: () => {},
        };
      },
    };
  }

  #publisher(): Publisher {
    return {
      name: 'lab',
      apply: async (changes) => {
        for (const { name, after } of changes) {
          const strings = after?.match(/.{1,255}/g) ?? [];
          this.#dns.set(name, 'TXT', after === undefined ? [] : [[...strings]], 0);
        }
        return { kind: 'written', detail: 'written' };
      },
      close: () => {},
    };
  }

  async #writeKeyring(): Promise<void> {
    const { dir } = this.#place;
    const rsa = keyAlgorithmNamed('rsa2048');
    const octets = rsa?.recordOctets(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey);
    const publicKey = octets?.toString('base64');
    const activatedAt = new Date(this.#clock.wallMs() - 200 * DAY_MS).toISOString();
    await mkdir(dir, { recursive: true });
    for (let start = 0; start < this.domains.length; start += DOMAINS_PER_FILE) {
      const entries = this.domains.slice(start, start + DOMAINS_PER_FILE).map((domain) => {
        const key = {
          selector: 'old',
          algorithm: 'rsa2048',
          backend: 'kms-envelope',
          state: 'active',
          publicKey,
          ttlS: 3600,
          createdAt: activatedAt,
          activatedAt,
          // Nothing opens it here.
          material: { wrappingKey: this.kms.wrappingKey, ciphertext: 'A'.repeat(1720) },
        };
        return [domain, { subdomains: false, keys: [key] }] as const;
      });
      const manifest = { version: 1, generation: 1, domains: Object.fromEntries(entries) };
      const number = start / DOMAINS_PER_FILE + 1;
      const name = number === 1 ? 'keyring.yaml' : `keyring-${number}.yaml`;
      await writeFile(join(dir, name), stringify(manifest, { lineWidth: 0 }));
    }
  }
}

function makePair(): KeyObject {
  return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
}
