import { open } from 'node:fs/promises';

/** A file's octets and its permission bits. */
export interface FileContent {
  readonly octets: Buffer;
  /** Permission bits as `stat` gives them. */
  readonly mode: number;
}

/**
 * Reads a small file into one buffer of its own, so that the caller can overwrite it afterwards:
 * no copy is left behind in a pool.
 *
 * @returns `too-large` when it has more than `maxBytes` octets
 * @throws the file system's errors
 */
export async function readBoundedFile(
  file: string,
  maxBytes: number,
): Promise<FileContent | 'too-large'> {
  const handle = await open(file, 'r');
  try {
    const stats = await handle.stat();
    const { mode, size } = stats;
    if (stats.isFile() && size > maxBytes) return 'too-large';
    const octets = Buffer.alloc(Math.min(Math.max(size, 4096), maxBytes) + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(octets, length, octets.length - length);
      if (bytesRead === 0) return { octets: octets.subarray(0, length), mode: mode & 0o777 };
      length += bytesRead;
      if (length === octets.length) {
        octets.fill(0);
        return 'too-large'; // it grew while it was read
      }
    }
  } finally {
    await handle.close();
  }
}
