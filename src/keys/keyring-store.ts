import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Clock, systemClock } from '../base/clock.ts';
import { makeDirectory, removeLeftovers, writeFileAtomic } from './atomic-write.ts';
import { KeysError, systemCode, systemReason } from './keys-error.ts';
import { acquireLock, type Lock } from './lock-file.ts';
import type { ManifestDomain } from './manifest.ts';
import {
  MAX_MANIFEST_BYTES,
  type ManifestSource,
  newManifest,
  parseManifest,
  renderManifest,
} from './manifest-yaml.ts';

/** The keyring as it stands: all manifest files taken together. */
export interface KeyringSnapshot {
  /** The highest generation of all files; 0 without any. */
  readonly generation: number;
  /** File name to generation. */
  readonly generations: ReadonlyMap<string, number>;
  readonly domains: ReadonlyMap<string, ManifestDomain>;
  /** Domain to the name of the file that lists it. */
  readonly files: ReadonlyMap<string, string>;
}

/** What a change writes: one domain, since a domain's keys stand in one file. */
export interface KeyringChange<Result> {
  /** The domain as it is to be; undefined: nothing is written. */
  readonly domain: ManifestDomain | undefined;
  readonly result: Result;
}

/** Where manifests are kept. Other stores are further implementations of this. */
export interface KeyringStore {
  /** @throws KeysError `keyring-missing`, `keyring-unreadable`, `manifest-invalid` */
  read(): Promise<KeyringSnapshot>;
  /**
   * Changes one domain. `edit` sees the newest state, and nobody else changes it until the write;
   * it must not wait for people or for DNS. All of the change is written or nothing.
   */
  change<Result>(
    edit: (current: KeyringSnapshot) => Promise<KeyringChange<Result>>,
  ): Promise<Result>;
}

/** A manifest file as it was read. */
interface ReadFile extends ManifestSource {
  readonly text: string;
}

/** New domains go here, unless an existing file already lists them. */
const DEFAULT_FILE = 'keyring.yaml';
const LOCK_FILE = '.lock';
const MANIFEST_NAME = /^[^.].*\.ya?ml$/;
const DIRECTORY_MODE = 0o750;
const FILE_MODE = 0o640;
const LOCK_WAIT_MS = 15_000;
/** Manifest files; a guard against a directory that is none of ours. */
const MAX_FILES = 20_000;

/** The store on disk: `*.yaml` and `*.yml` directly in a directory. */
export class FileKeyringStore implements KeyringStore {
  readonly #dir: string;
  readonly #clock: Clock;

  /**
   * @param dir `keys.dir`
   * @param clock for the waiting time of the lock
   */
  constructor(dir: string, clock: Clock = systemClock) {
    this.#dir = dir;
    this.#clock = clock;
  }

  async read(): Promise<KeyringSnapshot> {
    return snapshotOf(await this.#readFiles());
  }

  async change<Result>(
    edit: (current: KeyringSnapshot) => Promise<KeyringChange<Result>>,
  ): Promise<Result> {
    const lock = await this.#lock();
    try {
      await removeLeftovers(this.#dir);
      const files = await this.#readFiles();
      const current = snapshotOf(files);
      const { domain, result } = await edit(current);
      if (domain !== undefined) await this.#write(files, current.generation + 1, domain, lock);
      return result;
    } finally {
      await lock.release();
    }
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

  async #readFiles(): Promise<ReadonlyMap<string, ReadFile>> {
    const names = await this.#manifestNames();
    const files = new Map<string, ReadFile>();
    for (const name of names) {
      const file = path.join(this.#dir, name);
      const text = await readManifestText(file);
      files.set(name, { ...parseManifest(text, file), text });
    }
    return files;
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

  async #write(
    files: ReadonlyMap<string, ReadFile>,
    generation: number,
    domain: ManifestDomain,
    lock: Lock,
  ): Promise<void> {
    const name = fileOf(files, domain.domain);
    const source = files.get(name);
    const file = path.join(this.#dir, name);
    const text = renderManifest(source ?? newManifest(), generation, domain);
    parseManifest(text, file); // what could not be read back is not written
    await lock.check();
    await refuseChanged(file, source?.text);
    try {
      await writeFileAtomic(file, Buffer.from(text), FILE_MODE);
    } catch (error) {
      throw new KeysError('keyring-unwritable', `${file} ${systemReason(error)}`, { cause: error });
    }
  }
}

/** Takes the files together; a domain may stand in one of them only. */
function snapshotOf(files: ReadonlyMap<string, ReadFile>): KeyringSnapshot {
  const generations = new Map<string, number>();
  const domains = new Map<string, ManifestDomain>();
  const owners = new Map<string, string>();
  for (const [name, { manifest }] of files) {
    generations.set(name, manifest.generation);
    for (const entry of manifest.domains) {
      const other = owners.get(entry.domain);
      if (other !== undefined) {
        const message = `${name}: domains.${JSON.stringify(entry.domain)} stands in ${other} too`;
        throw new KeysError('manifest-invalid', message, { hint: 'keep one of the two entries' });
      }
      owners.set(entry.domain, name);
      domains.set(entry.domain, entry);
    }
  }
  return {
    generation: Math.max(0, ...generations.values()),
    generations,
    domains,
    files: owners,
  };
}

function fileOf(files: ReadonlyMap<string, ReadFile>, domain: string): string {
  for (const [name, { manifest }] of files) {
    if (manifest.domains.some((entry) => entry.domain === domain)) return name;
  }
  return DEFAULT_FILE;
}

/** An editor knows nothing of our lock. */
async function refuseChanged(file: string, before: string | undefined): Promise<void> {
  const now = await readFile(file, 'utf8').catch(() => undefined);
  if (now === before) return;
  throw new KeysError('keyring-changed', `${file} was changed meanwhile; nothing was written`, {
    hint: 'run the command again',
  });
}

async function readManifestText(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > MAX_MANIFEST_BYTES) {
      const message = `${file} has ${size} octets; ${MAX_MANIFEST_BYTES} are allowed`;
      throw new KeysError('manifest-too-large', message, { hint: 'split it into several files' });
    }
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof KeysError) throw error;
    throw new KeysError('keyring-unreadable', `${file} ${systemReason(error)}`, { cause: error });
  }
}
