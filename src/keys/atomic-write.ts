import { randomBytes } from 'node:crypto';
import {
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  rename,
  stat,
  unlink,
} from 'node:fs/promises';
import path from 'node:path';
import { systemCode } from './keys-error.ts';

/**
 * Files that are old or new, never half: written beside their place, flushed to the disk, then
 * put there in one step. A crash in between leaves the old file and a leftover that
 * `removeLeftovers` takes away.
 */

/** The lock's own (`..lock.…`) are not meant: another process may be about to use one. */
const LEFTOVER = /^\.[^.].*\.[0-9a-f]{12}\.tmp$/;

/**
 * Writes or replaces a file.
 *
 * @param mode permission bits, whatever the umask
 * @throws the file system's errors; the old file stands then
 */
export async function writeFileAtomic(file: string, data: Buffer, mode: number): Promise<void> {
  await place(file, data, mode, rename);
}

/**
 * Writes a file that must not be there yet.
 *
 * @param outlives `process`: it means nothing after a power failure, so the disk is not waited for
 * @throws `EEXIST` when it is
 */
export async function createFileAtomic(
  file: string,
  data: Buffer,
  mode: number,
  outlives: 'process' | 'machine' = 'machine',
): Promise<void> {
  const put = async (temporary: string) => {
    await link(temporary, file); // unlike rename, this never replaces
    await unlink(temporary);
  };
  await place(file, data, mode, put, outlives === 'machine');
}

/** Makes a directory and those above it; new ones belong to the owner of the one above. */
export async function makeDirectory(directory: string, mode: number): Promise<void> {
  try {
    await stat(directory);
    return;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
  await makeDirectory(path.dirname(directory), mode);
  try {
    await mkdir(directory, { mode });
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
  const handle = await open(directory, 'r');
  try {
    await takeOwnerOf(path.dirname(directory), handle);
    await handle.chmod(mode);
  } finally {
    await handle.close();
  }
  await syncDirectory(path.dirname(directory));
}

/** Removes what crashed writers left. Call it only where no other writer can be at work. */
export async function removeLeftovers(directory: string): Promise<void> {
  let names: string[] = [];
  try {
    names = await readdir(directory);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
  for (const name of names) {
    if (LEFTOVER.test(name)) await unlink(path.join(directory, name));
  }
}

async function place(
  file: string,
  data: Buffer,
  mode: number,
  put: (temporary: string, file: string) => Promise<void>,
  flush = true,
): Promise<void> {
  const directory = path.dirname(file);
  const suffix = randomBytes(6).toString('hex');
  const temporary = path.join(directory, `.${path.basename(file)}.${suffix}.tmp`);
  const handle = await open(temporary, 'wx', 0o600);
  try {
    try {
      await handle.writeFile(data);
      await takeOwnerOf(directory, handle);
      await handle.chmod(mode);
      if (flush) await handle.sync();
    } finally {
      await handle.close();
    }
    await put(temporary, file);
  } catch (error) {
    await unlink(temporary).catch(() => undefined); // the first error is the one to tell
    throw error;
  }
  if (flush) await syncDirectory(directory);
}

/** Keys made by root must stay readable for the user that the relay runs as. */
export async function takeOwnerOf(directory: string, handle: FileHandle): Promise<void> {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = await stat(directory);
  await handle.chown(uid, gid);
}

/** A name is safe only when its directory is on the disk (fsync(2)). */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
