import { createHash } from 'node:crypto';
import { type BigIntStats, statSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Clock, systemClock } from '../../base/clock.ts';
import { Turns } from '../../base/turns.ts';
import { makeDirectory, removeLeftovers, writeFileAtomic } from '../atomic-write.ts';
import {
  type JoinedShards,
  joinChanged,
  joinSound,
  type KeyringChange,
  type KeyringSnapshot,
  type KeyringSource,
  type KeyringStore,
  type ShardLook,
} from '../keyring-store.ts';
import { KeysError, systemCode, systemReason } from '../keys-error.ts';
import { acquireLock, type Lock } from '../lock-file.ts';
import type { Manifest, ManifestDomain } from '../manifest.ts';
import {
  changeManifest,
  MAX_MANIFEST_BYTES,
  newManifest,
  parseManifest,
} from '../manifest-yaml.ts';

/** A file as it was read last. */
interface KnownFile {
  /** Device, inode, size and times: what changes when the file does. */
  readonly stamp: string;
  /** Changed so short a time ago that another change need not show in `stamp`. */
  readonly fresh: boolean;
  readonly digest: string;
  readonly manifest: Manifest;
}

type LoadedFiles = ReadonlyMap<string, KnownFile | KeysError>;

const LOCK_FILE = '.lock';
const MANIFEST_NAME = /^[^.].*\.ya?ml$/;
const DIRECTORY_MODE = 0o750;
const FILE_MODE = 0o640;
const LOCK_WAIT_MS = 15_000;
/** Files that are looked at at the same time. */
const READ_AT_ONCE = 8;
/** At a change whose lock was taken away before anything was written. */
const MAX_ATTEMPTS = 5;
/** Manifest files; a guard against a directory that is none of ours. */
const MAX_FILES = 20_000;
/**
 * Domains in a file of ours before the next one is begun. Parsing 50 domains takes up to 20 ms of
 * the event loop, and a relay parses what changed while mail flows.
 */
export const DOMAINS_PER_FILE = 50;
/** Coarsest time stamp of a file system that we count with (FAT and some network shares: 2 s). */
const STAMP_RESOLUTION_MS = 2000;

/** The store on disk: `*.yaml` and `*.yml` directly in a directory. */
export class FileKeyringStore implements KeyringStore, KeyringSource {
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #known = new Map<string, KnownFile>();
  #joined: JoinedShards | undefined;
  readonly #turns = new Turns();

  /**
   * @param dir `keys.dir`
   * @param clock for the waiting time of the lock, and to know young files
   */
  constructor(dir: string, clock: Clock = systemClock) {
    this.#dir = dir;
    this.#clock = clock;
  }

  async read(): Promise<KeyringSnapshot> {
    return this.#snapshotOf(await this.#load(), undefined);
  }

  around(domain: string): Pick<KeyringStore, 'read' | 'change'> {
    return {
      read: async () => this.#snapshotOf(await this.#load(), domain),
      change: async (edit) => await this.#turns.run(async () => await this.#change(edit, domain)),
    };
  }

  async look(): Promise<readonly ShardLook[]> {
    return [...(await this.#load())].map(([name, found]) =>
      found instanceof KeysError
        ? { kind: 'broken', name, error: found }
        : { kind: 'read', name, manifest: found.manifest },
    );
  }

  /** Where somebody took the lock of a dead writer for ours, the change is made again. */
  async change<Result>(
    edit: (current: KeyringSnapshot) => Promise<KeyringChange<Result>>,
  ): Promise<Result> {
    // One at a time in this process: the lock is for others, and who waits for it only looks now
    // and then.
    return await this.#turns.run(async () => await this.#change(edit, undefined));
  }

  async #change<Result>(
    edit: (current: KeyringSnapshot) => Promise<KeyringChange<Result>>,
    only: string | undefined,
  ): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#changeOnce(edit, only);
      } catch (error) {
        const isLost = error instanceof KeysError && error.code === 'keyring-lock-lost';
        if (!isLost || attempt === MAX_ATTEMPTS) throw error;
      }
    }
  }

  async #changeOnce<Result>(
    edit: (current: KeyringSnapshot) => Promise<KeyringChange<Result>>,
    only: string | undefined,
  ): Promise<Result> {
    const lock = await this.#lock();
    try {
      await removeLeftovers(this.#dir);
      const files = await this.#load(true);
      const current = this.#snapshotOf(files, only);
      const { domain, result } = await edit(current);
      if (domain !== undefined) await this.#write(current, files, domain, lock);
      return result;
    } finally {
      await lock.release();
    }
  }

  /**
   * @param only the one domain that matters: broken files are passed over where another one lists it
   * @throws KeysError the first file that is broken
   */
  #snapshotOf(files: LoadedFiles, only: string | undefined): KeyringSnapshot {
    const shards = new Map<string, Manifest>();
    let broken: KeysError | undefined;
    for (const [name, found] of files) {
      if (found instanceof KeysError) broken ??= found;
      else shards.set(name, found.manifest);
    }
    if (broken !== undefined) return joinSound(shards, broken, only);
    this.#joined = joinChanged(this.#joined, shards);
    return this.#joined.snapshot;
  }

  async #lock(): Promise<Lock> {
    try {
      await makeDirectory(path.resolve(this.#dir), DIRECTORY_MODE);
      const options = { clock: this.#clock, waitMs: LOCK_WAIT_MS };
      return await acquireLock(path.join(this.#dir, LOCK_FILE), options);
    } catch (error) {
      if (error instanceof KeysError) throw error;
      const message = `keyring directory ${this.#dir} ${systemReason(error)}`;
      throw new KeysError('keyring-unwritable', message, { cause: error });
    }
  }

  async #manifestNames(): Promise<string[]> {
    try {
      const names = (await readdir(this.#dir)).filter((name) => MANIFEST_NAME.test(name)).sort();
      if (names.length <= MAX_FILES) return names;
      const message = `keyring directory ${this.#dir} has ${names.length} manifest files; ${MAX_FILES} are allowed`;
      throw new KeysError('keyring-unreadable', message);
    } catch (error) {
      if (error instanceof KeysError) throw error;
      const isMissing = systemCode(error) === 'ENOENT';
      const code = isMissing ? 'keyring-missing' : 'keyring-unreadable';
      throw new KeysError(code, `keyring directory ${this.#dir} ${systemReason(error)}`, {
        cause: error,
        hint: isMissing
          ? 'check keys.dir; "waxseal keys create DOMAIN" makes the first keyring'
          : 'check the owner and the mode of keys.dir',
      });
    }
  }

  /**
   * All files, each as it is or with what is wrong with it.
   *
   * @param alone nothing else waits for this process: a command, not a relay
   */
  async #load(alone = false): Promise<LoadedFiles> {
    const names = await this.#manifestNames();
    const found = new Map<string, KnownFile | KeysError>();
    const queue = names.values();
    const readNext = async () => {
      for (const name of queue) {
        const unchanged = alone ? this.#unchanged(name) : undefined;
        found.set(name, unchanged ?? (await this.#readOrFail(name)));
      }
    };
    await Promise.all(Array.from({ length: READ_AT_ONCE }, readNext));
    const files = new Map<string, KnownFile | KeysError>();
    for (const name of names) {
      const file = found.get(name);
      if (file !== undefined) files.set(name, file);
    }
    for (const name of this.#known.keys()) if (!files.has(name)) this.#known.delete(name);
    return files;
  }

  /** Ten times as fast as to ask a thread, and no thread is asked two hundred times for each change. */
  #unchanged(name: string): KnownFile | undefined {
    const known = this.#known.get(name);
    if (known === undefined || known.fresh) return undefined;
    const stats = statSync(path.join(this.#dir, name), { bigint: true, throwIfNoEntry: false });
    return stats !== undefined && stampOf(stats) === known.stamp ? known : undefined;
  }

  async #readOrFail(name: string): Promise<KnownFile | KeysError> {
    try {
      return await this.#readFile(name);
    } catch (error) {
      if (!(error instanceof KeysError)) throw error;
      this.#known.delete(name);
      return error;
    }
  }

  /** Parses a file only when its content is new. */
  async #readFile(name: string): Promise<KnownFile> {
    const file = path.join(this.#dir, name);
    const known = this.#known.get(name);
    try {
      const stats = await stat(file, { bigint: true });
      const { size } = stats;
      const stamp = stampOf(stats);
      if (known !== undefined && known.stamp === stamp && !known.fresh) return known;
      if (size > MAX_MANIFEST_BYTES) {
        const message = `${file} has ${size} octets; ${MAX_MANIFEST_BYTES} are allowed`;
        throw new KeysError('manifest-too-large', message, { hint: 'split it into several files' });
      }
      const text = await readFile(file, 'utf8');
      const digest = digestOf(text);
      const fresh = Number(stats.ctimeMs) > this.#clock.wallMs() - STAMP_RESOLUTION_MS;
      let manifest = known?.digest === digest ? known.manifest : undefined;
      if (manifest === undefined) {
        await nextTurn(); // one file is one slice of work; mail goes on between two of them
        ({ manifest } = parseManifest(text, file));
      }
      const now: KnownFile = { stamp, fresh, digest, manifest };
      this.#known.set(name, now);
      return now;
    } catch (error) {
      if (error instanceof KeysError) throw error;
      throw new KeysError('keyring-unreadable', `${file} ${systemReason(error)}`, { cause: error });
    }
  }

  async #write(
    current: KeyringSnapshot,
    before: LoadedFiles,
    domain: ManifestDomain,
    lock: Lock,
  ): Promise<void> {
    const name = current.files.get(domain.domain) ?? fileForNew(before);
    const file = path.join(this.#dir, name);
    const known = knownIn(before, name);
    const standing = known === undefined ? undefined : await standingText(file);
    if (known !== undefined && (standing === undefined || digestOf(standing) !== known.digest)) {
      throw changedMeanwhile(file);
    }
    const source =
      known === undefined || standing === undefined
        ? newManifest()
        : { manifest: known.manifest, text: standing };
    // What could not be read back is not written.
    const { text, manifest } = changeManifest(source, current.generation + 1, domain, file);
    await lock.check();
    // An editor knows nothing of our lock.
    if ((await standingText(file)) !== standing) throw changedMeanwhile(file);
    try {
      await writeFileAtomic(file, Buffer.from(text), FILE_MODE);
    } catch (error) {
      throw new KeysError('keyring-unwritable', `${file} ${systemReason(error)}`, { cause: error });
    }
    // Looked at again, and parsed again only if somebody else was there meanwhile.
    this.#known.set(name, { stamp: '', fresh: true, digest: digestOf(text), manifest });
  }
}

/** What changes when a file does. */
function stampOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}

function knownIn(files: LoadedFiles, name: string): KnownFile | undefined {
  const found = files.get(name);
  return found instanceof KeysError ? undefined : found;
}

/** The first of `keyring.yaml`, `keyring-2.yaml` … that has room. Files of others are left alone. */
function fileForNew(files: LoadedFiles): string {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? 'keyring.yaml' : `keyring-${number}.yaml`;
    const known = knownIn(files, name);
    if (known === undefined || known.manifest.domains.length < DOMAINS_PER_FILE) return name;
  }
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}

async function standingText(file: string): Promise<string | undefined> {
  return await readFile(file, 'utf8').catch(() => undefined);
}

function changedMeanwhile(file: string): KeysError {
  return new KeysError('keyring-changed', `${file} was changed meanwhile; nothing was written`, {
    hint: 'run the command again',
  });
}
