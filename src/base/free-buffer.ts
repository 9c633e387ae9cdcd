/**
 * Gives the memory behind a buffer back at once. The collector would do so, too, but it hears of
 * memory outside its heap only by how much there is: at some hundred megabytes of content a second it
 * would go through the whole heap many times a second for nothing but that.
 *
 * Nobody may use the buffer, or another one with the same memory, any more: they have no octets
 * afterwards. Memory of Node's pool of small buffers stays as it is.
 */
export function freeBuffer({ buffer: memory }: Buffer): void {
  if (!(memory instanceof ArrayBuffer)) return;
  try {
    memory.transfer(0);
  } catch {
    // Node's pool cannot be detached (ECMA-262 section 25.1.3.5), and is the collector's to free.
  }
}

/** True if no other buffer can have a part of the same memory, as those of Node's pool do. */
export function coversItsMemory(buffer: Buffer): boolean {
  return buffer.length === buffer.buffer.byteLength;
}
