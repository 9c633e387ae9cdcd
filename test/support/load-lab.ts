import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { KeysSettings } from '../../src/cli/keys-command.ts';
import { makeDirectory, writeFileAtomic } from '../../src/keys/atomic-write.ts';
import type { BackendName } from '../../src/keys/backend-names.ts';
import { BACKENDS } from '../../src/keys/backends.ts';
import type { KeyState } from '../../src/keys/key-state.ts';
import type { ManifestKey } from '../../src/keys/manifest.ts';
import { FileKeyringStore } from '../../src/keys/store/file-store.ts';
import { AheadClock } from './ahead-clock.ts';
import { type Bind, startBind } from './bind.ts';
import { runCompressed } from './compressed-cli.ts';
import { freePort } from './free-port.ts';
import type { FakeKms } from './kms/fake-kms.ts';
import { KmsLab } from './kms/kms-lab.ts';
import { habits } from './lifecycle-cli.ts';
import { LiveMail } from './live-mail.ts';
import { liveDkimpy, liveOpendkim } from './live-verifiers.ts';
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

interface LoadLabParts {
  readonly clock: AheadClock;
  readonly backend: BackendName;
  readonly kms: KmsLab | undefined;
  readonly bind: Bind;
  readonly mx: FakeMx;
  readonly load: MailLoad;
  readonly mail: LiveMail;
}

/**
 * One signing domain with its records in a real BIND, commands on a compressed clock, relays on the
 * machine's, a load through them, and real verifiers behind the MX. Where the back end of its keys is
 * in AWS, the in-repo KMS is at hand, on the clock of the commands.
 */
export class LoadLab {
  readonly clock: AheadClock;
  readonly domain = DOMAIN;
  readonly load: MailLoad;
  readonly mail: LiveMail;
  readonly replicas: Replica[] = [];
  readonly settings: KeysSettings;
  readonly #backend: BackendName;
  readonly #kms: KmsLab | undefined;
  readonly #root: string;
  readonly #bind: Bind;
  readonly #mx: FakeMx;

  private constructor(root: string, { clock, backend, kms, bind, mx, load, mail }: LoadLabParts) {
    this.clock = clock;
    this.#root = root;
    this.#backend = backend;
    this.#kms = kms;
    this.#bind = bind;
    this.#mx = mx;
    this.load = load;
    this.mail = mail;
    const { server } = bind;
    const keyFile = join(root, 'tsig.key');
    const hints = [{ zone: DOMAIN, servers: [server] }];
    this.settings = {
      keys: {
        dir: join(root, 'keys'),
        masterKeyFile: join(root, 'master.key'),
        rotation: habits,
      },
      dns: { servers: [server], hints, timeoutMs: 5000, attempts: 3 },
      publishers: [{ domains: ['*'], kind: 'rfc2136', server, keyName: KEY_NAME, keyFile }],
      ...(kms === undefined ? {} : { kms: kms.settings }),
    };
  }

  /**
   * @param backend of the keys that `rotate` makes
   * @param perSecond messages of the load, over all replicas
   */
  static async start(
    { named, opendkim }: LoadPeers,
    backend: BackendName,
    perSecond: number,
  ): Promise<LoadLab> {
    const root = await mkdtemp(join(tmpdir(), 'waxseal-load-'));
    const secret = randomBytes(32).toString('base64');
    const statements = `key "${KEY_NAME}" { algorithm hmac-sha256; secret "${secret}"; };`;
    await writeFile(join(root, 'tsig.key'), statements, { mode: 0o600 });
    const zones = { [DOMAIN]: '', 'sink.test': `@ IN MX 10 mx\nmx IN A ${MX_ADDRESS}` };
    const zoneStatements = `update-policy { grant ${KEY_NAME} zonesub TXT; };`;
    const bind = await startBind(named, zones, { statements, zoneStatements });
    const load = new MailLoad(DOMAIN, perSecond);
    const mx = await startMx(load.script, { host: MX_ADDRESS, port: await freePort() });
    const verifiers = [
      await liveOpendkim({ program: opendkim, folder: root, server: bind, zone: DOMAIN }),
      liveDkimpy(bind),
    ];
    await mkdir(join(root, 'mail'));
    const mail = new LiveMail(join(root, 'mail'), load, verifiers);
    const clock = new AheadClock();
    const kms = BACKENDS[backend].inAws === true ? await KmsLab.start({ clock }) : undefined;
    return new LoadLab(root, { clock, backend, kms, bind, mx, load, mail });
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
    return join(this.#root, `keys-${this.replicas.length}`);
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
    await this.run('rotate', DOMAIN, '--backend', this.#backend);
  }

  /** Runs `waxseal keys ARGS`, which is to succeed. */
  async run(...args: readonly string[]): Promise<void> {
    const { code, err } = await runCompressed(this.settings, this.clock, args);
    assert.equal(code, 0, `${args.join(' ')}: ${err}`);
  }

  async keys(): Promise<readonly ManifestKey[]> {
    const { domains } = await new FileKeyringStore(this.settings.keys.dir).read();
    return domains.get(DOMAIN)?.keys ?? [];
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
    await rm(this.#root, { recursive: true, force: true });
  }
}
