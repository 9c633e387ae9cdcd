import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, symlink, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { KeysSettings } from '../../src/cli/keys-command.ts';
import { makeDirectory, writeFileAtomic } from '../../src/keys/atomic-write.ts';
import type { BackendName } from '../../src/keys/backend-names.ts';
import { BACKENDS } from '../../src/keys/backends.ts';
import type { KeyState } from '../../src/keys/key-state.ts';
import type { ManifestKey } from '../../src/keys/manifest.ts';
import { AheadClock } from './ahead-clock.ts';
import { type Bind, startBind } from './bind.ts';
import { CliPlace } from './cli-place.ts';
import { freePort } from './free-port.ts';
import type { FakeKms } from './kms/fake-kms.ts';
import { KMS_ENVIRONMENT, KmsLab } from './kms/kms-lab.ts';
import { habits } from './lifecycle-cli.ts';
import { LiveMail } from './live-mail.ts';
import { liveDkimpy, liveOpendkim } from './live-verifiers.ts';
import type { LoadCommands, OpenLoadCommands } from './load-commands.ts';
import { MailLoad } from './mail-load.ts';
import { type FakeMx, startMx } from './mx.ts';
import { type LogRecord, Waxseal } from './waxseal.ts';

const DOMAIN = 'example.test';
const KEY_NAME = 'waxseal-key';
const MX_ADDRESS = '127.0.1.1';
/** Three relays share the half of AWS's quotas that one alone would take. */
const QUOTA_SHARE = 16;
/** How KMS knows the relay with a copy from the others. */
export const COPIED_ACCESS_KEY_ID = 'AKIDCOPIED';

/** A relay of the lab. */
export interface Replica {
  readonly waxseal: Waxseal;
  /** As it was at the start. */
  readonly pid: number;
  events(name: string): readonly LogRecord[];
}

export interface LinkedReplica extends Replica {
  /** Takes the keyring away, as a network does with a file system. */
  cutOff(): Promise<void>;
  /** Brings it back; `startReplica` has done it once. */
  connect(): Promise<void>;
}

export type KeyringPart = 'manifests' | 'private keys';

export interface CopiedReplica extends Replica {
  /** Copies a part of the keyring to it; `startCopiedReplica` has done it once with all of it. */
  copy(part: KeyringPart): Promise<void>;
}

const PARTS: Readonly<Record<KeyringPart, RegExp>> = {
  manifests: /^[^/]+\.yaml$/,
  'private keys': /^private\/.+\.key$/,
};

/** Paths of the programs, see `requirePeer`. */
export interface LoadPeers {
  readonly named: string;
  readonly opendkim: string;
}

export interface LoadLabOptions {
  /** Of the keys that `rotate` makes. */
  readonly backend: BackendName;
  readonly commands: OpenLoadCommands;
  /** Messages of the load, over all replicas. */
  readonly perSecond: number;
}

interface LoadLabParts {
  readonly place: CliPlace;
  readonly settings: KeysSettings;
  readonly clock: AheadClock;
  readonly commands: LoadCommands;
  readonly backend: BackendName;
  readonly kms: KmsLab | undefined;
  readonly bind: Bind;
  readonly mx: FakeMx;
  readonly load: MailLoad;
  readonly mail: LiveMail;
}

/**
 * One signing domain with its records in a real BIND, commands for which days pass in no time, relays
 * on the machine's clock, a load through them, and real verifiers behind the MX. Where the back end of
 * the keys is in AWS, the in-repo KMS is at hand, whose keys age with the others.
 */
export class LoadLab {
  /** Of KMS, and of commands in this process. */
  readonly clock: AheadClock;
  readonly domain = DOMAIN;
  readonly load: MailLoad;
  readonly mail: LiveMail;
  readonly replicas: Replica[] = [];
  readonly settings: KeysSettings;
  readonly commands: LoadCommands;
  readonly #backend: BackendName;
  readonly #kms: KmsLab | undefined;
  readonly #place: CliPlace;
  readonly #bind: Bind;
  readonly #mx: FakeMx;

  private constructor(parts: LoadLabParts) {
    this.clock = parts.clock;
    this.load = parts.load;
    this.mail = parts.mail;
    this.settings = parts.settings;
    this.commands = parts.commands;
    this.#backend = parts.backend;
    this.#kms = parts.kms;
    this.#place = parts.place;
    this.#bind = parts.bind;
    this.#mx = parts.mx;
  }

  static async start(
    { named, opendkim }: LoadPeers,
    { backend, commands, perSecond }: LoadLabOptions,
  ): Promise<LoadLab> {
    const place = await CliPlace.make({
      ...KMS_ENVIRONMENT,
      AWS_ENDPOINT_URL_STS: 'http://127.0.0.1:1', // nobody there says who we are
    });
    const { dir } = place;
    const secret = randomBytes(32).toString('base64');
    const statements = `key "${KEY_NAME}" { algorithm hmac-sha256; secret "${secret}"; };`;
    await writeFile(join(dir, 'tsig.key'), statements, { mode: 0o600 });
    const zones = { [DOMAIN]: '', 'sink.test': `@ IN MX 10 mx\nmx IN A ${MX_ADDRESS}` };
    const zoneStatements = `update-policy { grant ${KEY_NAME} zonesub TXT; };`;
    const bind = await startBind(named, zones, { statements, zoneStatements });
    const load = new MailLoad(DOMAIN, perSecond);
    const mx = await startMx(load.script, { host: MX_ADDRESS, port: await freePort() });
    const verifiers = [
      await liveOpendkim({ program: opendkim, folder: dir, server: bind, zone: DOMAIN }),
      liveDkimpy(bind),
    ];
    await mkdir(join(dir, 'mail'));
    const mail = new LiveMail(join(dir, 'mail'), load, verifiers);
    const clock = new AheadClock();
    const kms = BACKENDS[backend].inAws === true ? await KmsLab.start({ clock }) : undefined;
    const settings = settingsOf(place, bind, kms);
    const opened = await commands({ place, settings, clock });
    const servers = { kms, bind, mx, load, mail };
    return new LoadLab({ place, settings, clock, commands: opened, backend, ...servers });
  }

  /** @throws where the keys are not in AWS */
  get kms(): FakeKms {
    if (this.#kms !== undefined) return this.#kms.server;
    throw new Error(`the keys are in ${this.#backend}`);
  }

  /**
   * A relay that sees the keyring through a link of its own.
   *
   * @param env over that of this process
   */
  async startReplica(env: Readonly<Record<string, string>> = {}): Promise<LinkedReplica> {
    const link = this.#nextPlace();
    const connect = async () => await symlink(this.settings.keys.dir, link);
    await connect();
    const replica = await this.#serve(link, env);
    return { ...replica, connect, cutOff: async () => await unlink(link) };
  }

  /** A relay that has a copy of the keyring. */
  async startCopiedReplica(): Promise<CopiedReplica> {
    const place = this.#nextPlace();
    const copy = async (part: KeyringPart) => {
      const from = this.settings.keys.dir;
      for (const file of await readdir(from, { recursive: true })) {
        if (!PARTS[part].test(file)) continue;
        await makeDirectory(dirname(join(place, file)), 0o750);
        await writeFileAtomic(join(place, file), await readFile(join(from, file)), 0o640);
      }
    };
    await copy('private keys');
    await copy('manifests');
    const env = { AWS_ACCESS_KEY_ID: COPIED_ACCESS_KEY_ID };
    return { ...(await this.#serve(place, env)), copy };
  }

  #nextPlace(): string {
    return join(this.#place.dir, `keys-${this.replicas.length}`);
  }

  async #serve(dir: string, env: Readonly<Record<string, string>> = {}): Promise<Replica> {
    const { masterKeyFile } = this.settings.keys;
    const waxseal = await Waxseal.prepare({
      keys: { dir, masterKeyFile, watchMs: 500 },
      dns: { servers: [this.#bind.server] },
      relay: { port: this.#mx.port, allowPrivate: true, ehloName: 'relay.example.net' },
      ...(this.#kms === undefined
        ? {}
        : { kms: { ...this.#kms.settings, quotaShare: QUOTA_SHARE } }),
    });
    const events = (name: string) => waxseal.records.filter(({ event }) => event === name);
    await waxseal.serve(env);
    const replica = { waxseal, pid: waxseal.pid, events };
    this.replicas.push(replica);
    return replica;
  }

  /** Rotates its keys up to `active`; the first ones too. */
  async rotate(): Promise<void> {
    await this.commands.rotate([DOMAIN, '--backend', this.#backend]);
  }

  async keys(): Promise<readonly ManifestKey[]> {
    return (await this.#place.entry(DOMAIN)).keys;
  }

  /** Selectors of the keys in a state, sorted. */
  async selectorsIn(state: KeyState): Promise<readonly string[]> {
    const keys = (await this.keys()).filter((key) => key.state === state);
    return keys.map(({ selector }) => selector).sort();
  }

  async stop(): Promise<void> {
    await this.load.stop();
    await this.mail.close();
    for (const { waxseal } of this.replicas) await waxseal.stop();
    await this.#mx.close();
    await this.#bind.close();
    await this.#kms?.stop();
    await this.#place.end();
  }
}

function settingsOf(place: CliPlace, { server }: Bind, kms: KmsLab | undefined): KeysSettings {
  const keyFile = join(place.dir, 'tsig.key');
  const hints = [{ zone: DOMAIN, servers: [server] }];
  return {
    keys: {
      dir: place.keysDir,
      masterKeyFile: join(place.dir, 'master.key'),
      rotation: habits,
    },
    dns: { servers: [server], hints, timeoutMs: 5000, attempts: 3 },
    publishers: [{ domains: ['*'], kind: 'rfc2136', server, keyName: KEY_NAME, keyFile }],
    ...(kms === undefined ? {} : { kms: kms.settings }),
  };
}
