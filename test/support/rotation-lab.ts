import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import type { RecordChange } from '../../src/keys/dns/publisher.ts';
import { publisherFor } from '../../src/keys/dns/publishers.ts';
import { withKeys } from '../../src/keys/lifecycle/key-changes.ts';
import type { ManifestKey } from '../../src/keys/manifest.ts';
import { type Bind, type BindOptions, type BindZones, startBind } from './bind.ts';
import { CliPlace, type Ended, type RunOptions } from './cli-place.ts';
import { FakeKms } from './kms/fake-kms.ts';
import { KMS_ENVIRONMENT } from './kms/kms-lab.ts';
import { type StallPoint, stallingProxy } from './stalling-proxy.ts';

export const ZONE = 'example.test';

const KEY_NAME = 'waxseal-key';
const REGION = 'eu-central-1';

/** A TSIG key in BIND's form, and what lets its holder write key records. */
export interface UpdateKey {
  readonly name: string;
  readonly statement: string;
  readonly zoneStatements: string;
}

function makeUpdateKey(): UpdateKey {
  const secret = randomBytes(32).toString('base64');
  return {
    name: KEY_NAME,
    statement: `key "${KEY_NAME}" { algorithm hmac-sha256; secret "${secret}"; };`,
    zoneStatements: `update-policy { grant ${KEY_NAME} zonesub TXT; }; max-ixfr-ratio unlimited;`,
  };
}

/** Where a command is killed. */
export type KillPoint =
  /** Before its n-th step that puts something on the disk: lease, manifest, journal, lock. */
  | { readonly kind: 'disk'; readonly nth: number }
  /** At the n-th call of an operation: before KMS has it, or before the answer is heard. */
  | {
      readonly kind: 'kms';
      readonly operation: string;
      readonly nth: number;
      readonly when: StallPoint['when'];
    }
  /** The same with dynamic updates of DNS. */
  | { readonly kind: 'dns'; readonly nth: number; readonly when: StallPoint['when'] };

/** Processes of the command line between a keyring of files, a real BIND and the in-repo KMS. */
export class RotationLab {
  readonly bind: Bind;
  readonly kms: FakeKms;
  readonly place: CliPlace;
  readonly wrappingKey: string;
  readonly updateKey: UpdateKey;
  readonly #keyFile: string;

  private constructor(bind: Bind, kms: FakeKms, place: CliPlace, updateKey: UpdateKey) {
    this.bind = bind;
    this.kms = kms;
    this.place = place;
    this.wrappingKey = kms.makeWrappingKey();
    this.updateKey = updateKey;
    this.#keyFile = join(place.dir, 'tsig.key');
  }

  /** @param named path of the program, see `requirePeer` */
  static async start(
    named: string,
    options: BindOptions = {},
    zones: BindZones = {},
  ): Promise<RotationLab> {
    const updateKey = makeUpdateKey();
    const { statement, zoneStatements } = updateKey;
    // Without a negative TTL no cache has to be waited for.
    const bindOptions = { ttlS: 0, statements: statement, zoneStatements, ...options };
    const bind = await startBind(named, { [ZONE]: '', ...zones }, bindOptions);
    const kms = await FakeKms.start([REGION]);
    const place = await CliPlace.make({
      ...KMS_ENVIRONMENT,
      AWS_ENDPOINT_URL_STS: 'http://127.0.0.1:1', // nobody there says who we are
    });
    const lab = new RotationLab(bind, kms, place, updateKey);
    await writeFile(lab.#keyFile, statement, { mode: 0o600 });
    await place.configure(lab.settings());
    return lab;
  }

  /** The configuration. */
  settings(rotation: Readonly<Record<string, unknown>> = { authLagMs: 0 }) {
    return {
      dns: {
        servers: [this.bind.server],
        hints: [{ zone: ZONE, servers: [this.bind.server] }],
      },
      publishers: [this.publisher()],
      keys: { rotation },
      kms: {
        regions: [REGION],
        endpoints: this.kms.endpoints,
        wrappingKey: this.wrappingKey,
      },
    };
  }

  /** Runs a command that is killed; the kill is waited for. */
  async killed(args: readonly string[], point: KillPoint): Promise<Ended> {
    if (point.kind === 'disk') return await this.place.run(args, { killAt: point.nth });
    const isKms = point.kind === 'kms';
    const target = isKms ? Number(new URL(this.kms.region().url).port) : this.bind.port;
    const isSuch = isKms
      ? (octets: Buffer) => octets.includes(`TrentService.${point.operation}\r\n`)
      : isUpdate;
    let kill = () => {};
    const proxy = await stallingProxy(target, { isSuch, ...point }, () => kill());
    try {
      const env: RunOptions['env'] = isKms
        ? { WAXSEAL_KMS_ENDPOINTS: `${REGION}=http://127.0.0.1:${proxy.port}` }
        : { WAXSEAL_PUBLISHERS: JSON.stringify([this.publisher(proxy.port)]) };
      const running = this.place.start(args, { env });
      kill = () => running.kill();
      return await running.ended;
    } finally {
      await proxy.close();
    }
  }

  /** Signing keys in KMS, with what their tags say. */
  get signingKeys() {
    return this.kms.account.keysIn(REGION).flatMap(({ usage, arn, state, tags }) => {
      const tag = (name: string) => tags.get(`waxseal:${name}`) ?? '';
      const named = { domain: tag('domain'), selector: tag('selector'), intent: tag('intent') };
      return usage === 'SIGN_VERIFY' ? [{ arn, state: state as string, ...named }] : [];
    });
  }

  /** Lets time pass for the keys of a domain that have a time there: nobody can wait for it. */
  async age(domain: string, field: keyof ManifestKey, days: number): Promise<void> {
    const time = new Date(Date.now() - days * 86_400_000).toISOString();
    await this.place.edit(domain, (entry) => {
      const old = entry.keys.filter((key) => key[field] !== undefined).map((key) => key.selector);
      return withKeys(entry, old, () => ({ [field]: time }));
    });
  }

  /** Changes a record as somebody else does who holds the TSIG key. */
  async changeRecord(change: Omit<RecordChange, 'type'>): Promise<void> {
    const publishers = [this.publisher()];
    const publisher = publisherFor(ZONE, { publishers, clock: systemClock });
    const result = await publisher.apply([{ type: 'TXT', ...change }]);
    publisher.close();
    if (result.kind !== 'written') throw new Error(JSON.stringify(result));
  }

  async stop(): Promise<void> {
    await this.kms.stop();
    await this.bind.close();
    await this.place.end();
  }

  /** A row of `publishers`. */
  publisher(port: number = this.bind.port, zone: string | undefined = ZONE) {
    return {
      domains: ['*'],
      kind: 'rfc2136' as const,
      server: `127.0.0.1:${port}`,
      keyName: KEY_NAME,
      keyFile: this.#keyFile,
      zone,
    };
  }
}

/** A message over TCP whose opcode is UPDATE (RFC 2136 section 2.2). */
function isUpdate(octets: Buffer): boolean {
  return octets.length > 14 && ((octets.readUInt8(4) >> 3) & 0x0f) === 5;
}
