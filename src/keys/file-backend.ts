import { createPublicKey, type KeyObject } from 'node:crypto';
import { access, readdir, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { makeDirectory, removeLeftovers, writeFileAtomic } from './atomic-write.ts';
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

/** Private keys in files, encrypted under a master key; signatures are made in this process. */
export const fileBackend: BackendRow = {
  usableAtOnce: true,
  connect: async (options) => {
    const master = await masterKeyFor(options);
    return new FileBackend(options.dir, master);
  },
};

class FileBackend implements KeyBackend {
  readonly warnings: readonly string[];
  readonly #dir: string;
  readonly #master: MasterKey;

  constructor(dir: string, master: MasterKey) {
    this.#dir = dir;
    this.#master = master;
    this.warnings = master.warnings;
  }

  async create(identity: KeyIdentity): Promise<KeptKey> {
    const { publicKey, privateKey } = await algorithmOf(identity).generate();
    await this.#write(identity, privateKey);
    return { publicKey, material: undefined };
  }

  async keep(identity: KeyIdentity, privateKey: KeyObject): Promise<KeptKey> {
    const file = keyFile(this.#dir, identity);
    const result = { publicKey: createPublicKey(privateKey), material: undefined };
    if (await this.holds(identity)) {
      const kept = await this.#read(file, identity);
      if (kept.kind === 'key' && kept.privateKey.equals(privateKey)) return result;
      throw new KeysRefusal('key-file-in-the-way', `${file} exists and holds another key`, {
        hint: 'no manifest lists that file; move it away if you are sure that it is not needed',
      });
    }
    await this.#write(identity, privateKey);
    return result;
  }

  async holds(identity: Pick<KeyIdentity, 'domain' | 'selector'>): Promise<boolean> {
    try {
      await access(keyFile(this.#dir, identity));
      return true;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return false;
      throw error;
    }
  }

  async open(key: StoredKey): Promise<OpenedKey> {
    const file = keyFile(this.#dir, key);
    const kept = await this.#read(file, key);
    if (kept.kind === 'unusable') return kept;
    const algorithm = algorithmOf(key);
    const publicOctets = algorithm.recordOctets(createPublicKey(kept.privateKey));
    if (publicOctets.toString('base64') !== key.publicKey) {
      return unusable('key', `${file} does not belong to the public key in the manifest`);
    }
    return { kind: 'open', signer: localSigner(algorithm, kept.privateKey) };
  }

  /** Whoever has the file and the master key can sign; only `destroy` ends that. */
  async disable(): Promise<void> {}

  async destroy(key: StoredKey): Promise<Destruction> {
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

  async #read(
    file: string,
    identity: KeyIdentity,
  ): Promise<{ kind: 'key'; privateKey: KeyObject } | (OpenedKey & { kind: 'unusable' })> {
    let content: Awaited<ReturnType<typeof readBoundedFile>>;
    try {
      content = await readBoundedFile(file, MAX_SEALED_BYTES);
    } catch (error) {
      return unusable('key', `${file} ${systemReason(error)}`);
    }
    if (content === 'too-large')
      return unusable('key', `${file} is no sealed key: it is too large`);
    const unsealed = unsealKey(identity, content.octets, this.#master);
    switch (unsealed.kind) {
      case 'key':
        return unsealed;
      case 'other-master-key':
        return unusable('backend', `${file} was encrypted under another master key`);
      case 'damaged':
        return unusable('key', `${file} is damaged, or was moved from another key's place`);
    }
  }

  async #write(identity: KeyIdentity, privateKey: KeyObject): Promise<void> {
    const file = keyFile(this.#dir, identity);
    const sealed = sealKey(identity, privateKey, this.#master);
    try {
      await makeDirectory(path.dirname(file), DIRECTORY_MODE);
      await removeLeftovers(path.dirname(file));
      await writeFileAtomic(file, sealed, FILE_MODE);
    } catch (error) {
      throw new KeysError('key-unwritable', `${file} ${systemReason(error)}`, { cause: error });
    }
  }
}

/** Domain and selector were checked by `isSigningDomain` and `isSelector`: no slash, no `..`. */
function keyFile(dir: string, identity: Pick<KeyIdentity, 'domain' | 'selector'>): string {
  return path.join(dir, PRIVATE_DIRECTORY, identity.domain, `${identity.selector}.key`);
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
