import { randomBytes } from 'node:crypto';
import { constants, type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/** Octets read back at a time. */
const READ_BYTES = 128 * 1024;

/**
 * A file without a name: it is unlinked as soon as it is open, so the kernel frees it when the
 * process ends, kill -9 included.
 */
export class SpoolFile {
  readonly #dir: string;
  #handle: Promise<FileHandle> | undefined;
  #length = 0;
  #users = 0;
  #closed = false;

  /** @param dir directory to make the file in, when the first octet is written */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Appends buffers. @throws the file system's error */
  async append(buffers: readonly Buffer[]): Promise<void> {
    await this.#use(async (handle) => {
      let position = this.#length;
      let rest = [...buffers];
      while (rest.length > 0) {
        const { bytesWritten } = await handle.writev(rest, position);
        position += bytesWritten;
        rest = dropOctets(rest, bytesWritten);
      }
      this.#length = position;
    });
  }

  /** Reads from the beginning; each piece is a fresh buffer that covers its memory. @throws the file system's error */
  async *read(): AsyncGenerator<Buffer> {
    let position = 0;
    while (position < this.#length) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, this.#length - position));
      const at = position;
      const bytesRead = await this.#use(
        async (handle) => (await handle.read(buffer, 0, buffer.length, at)).bytesRead,
      );
      if (bytesRead === 0) throw new Error('the spool file is shorter than what was written to it');
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** Closes the file as soon as nothing uses it any more. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#users > 0 || this.#handle === undefined) return;
    const handle = this.#handle;
    this.#handle = undefined;
    await handle.then((open) => open.close()).catch(() => undefined);
  }

  async #use<T>(action: (handle: FileHandle) => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error('the spool file is closed');
    this.#users += 1;
    try {
      this.#handle ??= openUnlinked(this.#dir);
      return await action(await this.#handle);
    } finally {
      this.#users -= 1;
      if (this.#closed) void this.close();
    }
  }
}

async function openUnlinked(dir: string): Promise<FileHandle> {
  const path = join(dir, `waxseal-${process.pid}-${randomBytes(9).toString('base64url')}`);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const handle = await open(path, flags, 0o600);
  try {
    await unlink(path);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return handle;
}

/** What is left of `buffers` when the first `count` octets are taken away. */
function dropOctets(buffers: readonly Buffer[], count: number): Buffer[] {
  let left = count;
  const rest: Buffer[] = [];
  for (const buffer of buffers) {
    if (left >= buffer.length) left -= buffer.length;
    else {
      rest.push(left > 0 ? buffer.subarray(left) : buffer);
      left = 0;
    }
  }
  return rest;
}
