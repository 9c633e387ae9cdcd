import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import path from 'node:path';
import { createFileAtomic, makeDirectory } from './atomic-write.ts';
import { readBoundedFile } from './bounded-file.ts';
import { KeysError, systemCode, systemReason } from './keys-error.ts';

/** Octets of a master key (AES-256). */
const MASTER_KEY_BYTES = 32;
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/** The key that encrypts the private keys of the file back end. */
export interface MasterKey {
  readonly key: KeyObject;
  /** Tells two master keys apart and says nothing about them; stands in each sealed key. */
  readonly id: string;
  /** What the operator should know: file permissions, or that it was made just now. */
  readonly warnings: readonly string[];
}

/**
 * Reads the master key: 32 random octets in a file that only the relay's user may read.
 *
 * @throws KeysError `master-key-missing`, `master-key-unreadable`, `master-key-exposed` (others
 *   may read or change the file), `master-key-invalid` (it is not 32 octets long)
 */
export async function readMasterKey(file: string): Promise<MasterKey> {
  let content: Awaited<ReturnType<typeof readBoundedFile>>;
  try {
    content = await readBoundedFile(file, MASTER_KEY_BYTES);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') throw missing(file);
    const message = `master key ${file} ${systemReason(error)}`;
    throw new KeysError('master-key-unreadable', message, {
      cause: error,
      hint: 'check keys.masterKeyFile and the owner of that file',
    });
  }
  if (content === 'too-large') throw wrongLength(file, `more than ${MASTER_KEY_BYTES}`);
  const { octets, mode } = content;
  try {
    if ((mode & 0o027) !== 0) throw exposed(file, mode);
    if (octets.length !== MASTER_KEY_BYTES) throw wrongLength(file, String(octets.length));
    const warnings =
      (mode & 0o040) === 0
        ? []
        : [`master key ${file} may be read by its group (mode ${octal(mode)}); 0600 is safer`];
    return masterKeyFrom(octets, warnings);
  } finally {
    octets.fill(0);
  }
}

/**
 * Makes a master key where there is none. It never replaces one.
 *
 * @throws the file system's errors, translated
 */
export async function createMasterKey(file: string): Promise<MasterKey> {
  const octets = Buffer.alloc(MASTER_KEY_BYTES);
  try {
    randomBytes(MASTER_KEY_BYTES).copy(octets);
    await makeDirectory(path.dirname(path.resolve(file)), DIRECTORY_MODE);
    await createFileAtomic(file, octets, FILE_MODE);
    return masterKeyFrom(octets, [
      `a new master key was made: ${file}. Back it up, apart from the keyring: without it the private keys are lost`,
    ]);
  } catch (error) {
    const message = `master key ${file} could not be made: ${systemReason(error)}`;
    throw new KeysError('master-key-unwritable', message, { cause: error });
  } finally {
    octets.fill(0);
  }
}

function masterKeyFrom(octets: Buffer, warnings: readonly string[]): MasterKey {
  const key = createSecretKey(octets);
  const id = createHmac('sha256', key).update('waxseal master key id').digest('hex').slice(0, 16);
  return { key, id, warnings };
}

function missing(file: string): KeysError {
  return new KeysError('master-key-missing', `master key ${file} does not exist`, {
    hint: 'restore it from your backup, or point keys.masterKeyFile to it; without it the encrypted private keys cannot be used',
  });
}

function exposed(file: string, mode: number): KeysError {
  const message = `master key ${file} may be read or changed by other users (mode ${octal(mode)})`;
  return new KeysError('master-key-exposed', message, {
    hint: `chmod 600 ${file} (in Kubernetes: defaultMode 0400 or 0440 on the volume); if others had access, make new keys`,
  });
}

function wrongLength(file: string, found: string): KeysError {
  const message = `master key ${file} has ${found} octets; it must have exactly ${MASTER_KEY_BYTES}`;
  return new KeysError('master-key-invalid', message, {
    hint: 'restore it from your backup; it is 32 raw octets, without a line end',
  });
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}
