import { createPublicKey, type KeyObject } from 'node:crypto';
import { access, readdir, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { createFileAtomic, makeDirectory, removeLeftovers } from './atomic-write.ts';
import type {
  BackendOptions,
  BackendRow,
  Destruction,
  KeptKey,
  KeyBackend,
  OpenedKey,
  OrphanKey,
  StoredKey,
} from './backend.ts';
import { readBoundedFile } from './bounded-file.ts';
import { type KeyAlgorithm, keyAlgorithmNamed } from './key-algorithm.ts';
import { recordName } from './key-name.ts';
import { KeysError, KeysRefusal, systemCode, systemReason } from './keys-error.ts';
import { localSigner } from './local-signer.ts';
import { createMasterKey, type MasterKey, readMasterKey } from './master-key.ts';
import {
  type KeyIdentity,
  MAX_SEALED_BYTES,
  masterKeyIdOf,
  sealKey,
  unsealKey,
} from './sealed-key.ts';

/** Under the keyring's directory: `private/DOMAIN/SELECTOR.key`, each sealed by the master key. */
const PRIVATE_DIRECTORY = 'private';
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/**
 * Private keys encrypted under a master key; signatures are made in this process. They stand in
 * files, or, where the keyring is kept in Kubernetes or S3, in the manifest beside their public half
 * (`material.sealed`): whoever reads it there has nothing without the master key.
 */
export const fileBackend: BackendRow = {
  isLocal: true,
  usableAtOnce: true,
  connect: async (options) => {
    if (options.store === undefined || options.store.kind === 'file') {
      return new FileBackend(options.dir, await masterKeyFor(options), 'file');
    }
    // What is sealed elsewhere cannot be looked through here, so no master key is made by itself.
    return new FileBackend(options.dir, await readGivenMasterKey(options), 'manifest');
  },
};

type ReadKey = { kind: 'key'; privateKey: KeyObject } | (OpenedKey & { kind: 'unusable' });

class FileBackend implements KeyBackend {
  readonly warnings: readonly string[];
  readonly #dir: string;
  readonly #master: MasterKey;
  readonly #keptIn: 'file' | 'manifest';

  constructor(dir: string, master: MasterKey, keptIn: 'file' | 'manifest') {
    this.#dir = dir;
    this.#master = master;
    this.#keptIn = keptIn;
    this.warnings = master.warnings;
  }

  /** A file that is there is never replaced: a command that slept would end a key that signs by now. */
  async create(
    identity: KeyIdentity,
    _intent: string,
    begun: 'now' | 'perhaps-before' = 'perhaps-before',
  ): Promise<KeptKey> {
    const made = begun === 'now' ? undefined : await this.#madeBefore(identity);
    if (made !== undefined) return made;
    const { publicKey, privateKey } = await algorithmOf(identity).generate();
    return { publicKey, material: await this.#write(identity, privateKey) };
  }

  /** What a run that was killed left under this name, which no manifest lists. */
  async #madeBefore(identity: KeyIdentity): Promise<KeptKey | undefined> {
    if (!(await this.holds(identity))) return undefined;
    const kept = await this.#read(keyFile(this.#dir, identity), identity);
    if (kept.kind === 'unusable') return undefined; // told as being in the way
    return { publicKey: createPublicKey(kept.privateKey), material: undefined };
  }

  async keep(identity: KeyIdentity, privateKey: KeyObject): Promise<KeptKey> {
    const file = keyFile(this.#dir, identity);
    const publicKey = createPublicKey(privateKey);
    if (await this.holds(identity)) {
      const kept = await this.#read(file, identity);
      if (kept.kind === 'key' && kept.privateKey.equals(privateKey)) {
        return { publicKey, material: undefined };
      }
      throw inTheWay(file);
    }
    return { publicKey, material: await this.#write(identity, privateKey) };
  }

  /** What is sealed in a manifest is listed there, of course. */
  async holds(identity: Pick<KeyIdentity, 'domain' | 'selector'>): Promise<boolean> {
    if (this.#keptIn === 'manifest') return false;
    try {
      await access(keyFile(this.#dir, identity));
      return true;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return false;
      throw error;
    }
  }

  async open(key: StoredKey): Promise<OpenedKey> {
    const kept = await this.#readFitting(key);
    if (kept.kind === 'unusable') return kept;
    return { kind: 'open', signer: localSigner(algorithmOf(key), kept.privateKey) };
  }

  async reveal(key: StoredKey): Promise<KeyObject> {
    const kept = await this.#readFitting(key);
    if (kept.kind === 'key') return kept.privateKey;
    throw new KeysError('key-unusable', `the private key cannot be read: ${kept.reason}`);
  }

  /** Whoever has the file and the master key can sign; only `destroy` ends that. */
  async disable(): Promise<void> {}

  /** What is sealed in the manifest is given up by whoever takes its material out of it. */
  async destroy(key: StoredKey): Promise<Destruction> {
    if (key.material?.sealed !== undefined) return { kind: 'done' };
    const file = keyFile(this.#dir, key);
    try {
      await unlink(file);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') {
        const message = `${file} ${systemReason(error)}`;
        throw new KeysError('key-unwritable', message, { cause: error });
      }
    }
    return { kind: 'done' };
  }

  async cancelDestroy(key: StoredKey): Promise<void> {
    throw new KeysRefusal('key-destroyed', `the private key of ${key.selector} is erased`, {
      hint: `"waxseal keys create ${key.domain}" makes a new one`,
    });
  }

  async orphans(known: readonly StoredKey[]): Promise<readonly OrphanKey[]> {
    const listed = new Set(known.map((key) => keyFile(this.#dir, key)));
    const orphans: OrphanKey[] = [];
    for await (const file of sealedFiles(path.join(this.#dir, PRIVATE_DIRECTORY))) {
      if (listed.has(file)) continue;
      const domain = path.basename(path.dirname(file));
      const selector = path.basename(file, '.key');
      const createdAt = (await stat(file)).birthtime.toISOString();
      orphans.push({ reference: file, domain, selector, intent: undefined, createdAt });
    }
    return orphans;
  }

  /** The private key, if it belongs to the public key in the manifest. */
  async #readFitting(key: StoredKey): Promise<ReadKey> {
    const sealed = key.material?.sealed;
    const file = sealed === undefined ? keyFile(this.#dir, key) : inManifest(key);
    const kept =
      sealed === undefined
        ? await this.#read(file, key)
        : this.#unseal(file, key, Buffer.from(sealed, 'base64'));
    if (kept.kind === 'unusable') return kept;
    const publicOctets = algorithmOf(key).recordOctets(createPublicKey(kept.privateKey));
    if (publicOctets.toString('base64') === key.publicKey) return kept;
    return unusable('key', `${file} does not belong to the public key in the manifest`);
  }

  async #read(file: string, identity: KeyIdentity): Promise<ReadKey> {
    let content: Awaited<ReturnType<typeof readBoundedFile>>;
    try {
      content = await readBoundedFile(file, MAX_SEALED_BYTES);
    } catch (error) {
      return unusable('key', `${file} ${systemReason(error)}`);
    }
    if (content === 'too-large')
      return unusable('key', `${file} is no sealed key: it is too large`);
    return this.#unseal(file, identity, content.octets);
  }

  #unseal(file: string, identity: KeyIdentity, sealed: Buffer): ReadKey {
    const unsealed = unsealKey(identity, sealed, this.#master);
    switch (unsealed.kind) {
      case 'key':
        return unsealed;
      case 'other-master-key':
        return unusable('backend', `${file} was encrypted under another master key`);
      case 'damaged':
        return unusable('key', `${file} is damaged, or was moved from another key's place`);
    }
  }

  async #write(identity: KeyIdentity, privateKey: KeyObject): Promise<KeptKey['material']> {
    const file = keyFile(this.#dir, identity);
    const sealed = sealKey(identity, privateKey, this.#master);
    if (this.#keptIn === 'manifest') return { sealed: sealed.toString('base64') };
    try {
      await makeDirectory(path.dirname(file), DIRECTORY_MODE);
      await removeLeftovers(path.dirname(file));
      await createFileAtomic(file, sealed, FILE_MODE);
      return undefined;
    } catch (error) {
      if (systemCode(error) === 'EEXIST') throw inTheWay(file);
      throw new KeysError('key-unwritable', `${file} ${systemReason(error)}`, { cause: error });
    }
  }
}

/** Domain and selector were checked by `isSigningDomain` and `isSelector`: no slash, no `..`. */
function keyFile(dir: string, identity: Pick<KeyIdentity, 'domain' | 'selector'>): string {
  return path.join(dir, PRIVATE_DIRECTORY, identity.domain, `${identity.selector}.key`);
}

function inTheWay(file: string): KeysRefusal {
  return new KeysRefusal('key-file-in-the-way', `${file} exists and holds another key`, {
    hint: 'no manifest lists that file; move it away if you are sure that it is not needed',
  });
}

function inManifest({ domain, selector }: KeyIdentity): string {
  return `the private key of ${recordName(selector, domain)} in the manifest`;
}

async function readGivenMasterKey({ masterKeyFile }: BackendOptions): Promise<MasterKey> {
  try {
    return await readMasterKey(masterKeyFile);
  } catch (error) {
    if (!(error instanceof KeysError) || error.code !== 'master-key-missing') throw error;
    throw new KeysError('master-key-missing', error.message, {
      hint: `give every relay and every command the same one; to begin, make it with: (umask 077; head -c 32 /dev/urandom >${masterKeyFile})`,
    });
  }
}

async function masterKeyFor(options: BackendOptions): Promise<MasterKey> {
  const { dir, masterKeyFile } = options;
  const mayMake = options.masterKey === 'make-if-first';
  const privateDirectory = path.join(dir, PRIVATE_DIRECTORY);
  let master: MasterKey;
  try {
    master = await readMasterKey(masterKeyFile);
  } catch (error) {
    const isMissing = error instanceof KeysError && error.code === 'master-key-missing';
    if (!isMissing || !mayMake) throw error;
    // A new master key beside keys that an old one encrypted would hide what was lost.
    for await (const _file of sealedFiles(privateDirectory)) throw error;
    return await createOrRead(masterKeyFile);
  }
  if (mayMake) await refuseOtherMasterKey(privateDirectory, master, masterKeyFile);
  return master;
}

/** Another command may make it at the same moment; it is never there half. */
async function createOrRead(masterKeyFile: string): Promise<MasterKey> {
  try {
    return await createMasterKey(masterKeyFile);
  } catch (error) {
    const isThere = error instanceof KeysError && systemCode(error.cause) === 'EEXIST';
    if (!isThere) throw error;
    return await readMasterKey(masterKeyFile);
  }
}

/** Keys under two master keys can never be used together. The first one that fits is enough. */
async function refuseOtherMasterKey(
  privateDirectory: string,
  master: MasterKey,
  masterKeyFile: string,
): Promise<void> {
  let other: string | undefined;
  for await (const file of sealedFiles(privateDirectory)) {
    const content = await readBoundedFile(file, MAX_SEALED_BYTES).catch(() => 'too-large' as const);
    const id = content === 'too-large' ? undefined : masterKeyIdOf(content.octets);
    if (id === master.id) return;
    if (id !== undefined) other ??= file;
  }
  if (other === undefined) return;
  const message = `${other} was encrypted under another master key than ${masterKeyFile}`;
  throw new KeysRefusal('master-key-other', message, {
    hint: 'point keys.masterKeyFile to the master key of this keyring; if that is lost, begin a new keyring in another directory (keys.dir)',
  });
}

/** Private keys in the keyring's directory, whether a manifest lists them or not. */
async function* sealedFiles(privateDirectory: string): AsyncGenerator<string> {
  for (const domain of await namesIn(privateDirectory)) {
    const directory = path.join(privateDirectory, domain);
    for (const name of await namesIn(directory)) {
      if (name.endsWith('.key')) yield path.join(directory, name);
    }
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    const message = `${directory} ${systemReason(error)}`;
    throw new KeysError('keyring-unreadable', message, { cause: error });
  }
}

function algorithmOf(identity: KeyIdentity): KeyAlgorithm {
  const algorithm = keyAlgorithmNamed(identity.algorithm);
  if (algorithm === undefined) throw new RangeError(`no such algorithm: ${identity.algorithm}`);
  return algorithm;
}

function unusable(scope: 'key' | 'backend', reason: string) {
  return { kind: 'unusable', scope, reason } as const;
}
