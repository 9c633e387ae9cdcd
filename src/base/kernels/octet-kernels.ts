import { OCTET_KERNELS } from './octet-kernels.wasm.ts';

/*
 * The two loops of octet-kernels.wat, with their memory. Everything is in one instance, and no call
 * outlasts its caller's turn, so all messages share it. Each octet is copied in and, where it may have
 * changed, used where it lies: copying runs at many times the speed of any look at it.
 */

/** Octets that one call takes at most. */
export const KERNEL_BLOCK_BYTES = 65_536;

const IN = 4096;
const OUT = 69_696;
const FOUND = 2048;

interface Kernels {
  readonly memory: WebAssembly.Memory;
  readonly relax: (length: number) => number;
  readonly scan: (at: number, length: number, atLineStart: number, line: number) => number;
}

const { memory, relax, scan } = new WebAssembly.Instance(
  new WebAssembly.Module(Buffer.from(OCTET_KERNELS, 'base64')),
).exports as unknown as Kernels;

const input = new Uint8Array(memory.buffer, IN, KERNEL_BLOCK_BYTES);
const output = Buffer.from(memory.buffer, OUT, KERNEL_BLOCK_BYTES);
const found = new Int32Array(memory.buffer, FOUND, 2);
fillShuffles(new Uint8Array(memory.buffer, 0, 256 * 8));

/** For each set of octets that go from eight, the indexes of those that stay. */
function fillShuffles(rows: Uint8Array): void {
  rows.fill(0x80);
  for (let gone = 0; gone < 256; gone += 1) {
    let at = gone * 8;
    for (let index = 0; index < 8; index += 1) {
      if ((gone & (1 << index)) === 0) rows[at++] = index;
    }
  }
}

/**
 * Relaxed body canonicalisation of whole stretches (RFC 6376 section 3.4.4 a): runs of WSP become one
 * SP, and go before CRLF.
 *
 * @param octets at most `KERNEL_BLOCK_BYTES`; the octet before them is no WSP, the last one neither WSP
 *   nor CR, and CR stands before LF only
 * @returns good until the next call
 */
export function relaxed(octets: Uint8Array): Buffer {
  if (octets.length === 0) return output.subarray(0, 0);
  input.set(octets);
  return output.subarray(0, relax(octets.length));
}

/** Looks through one block of SMTP content for octets that cannot pass as they are. */
export class ContentScan {
  /** Octets of the block. */
  readonly length: number;
  /** Where the line begins that the octet found is in; negative: in an earlier block. */
  line: number;
  /** Length of the longest line whose CRLF was passed, without it. */
  longest = 0;

  /**
   * @param octets at most `KERNEL_BLOCK_BYTES`; nobody else may scan before this one is done
   * @param line where the current line begins
   */
  constructor(octets: Uint8Array, line: number) {
    input.set(octets);
    this.length = octets.length;
    this.line = line;
  }

  /**
   * @param at where to begin
   * @param atLineStart whether that is the start of a line, where a dot counts
   * @returns index of the next NUL, CR without LF, LF without CR, or dot at the start of a line; the
   *   number of octets when there is none
   */
  next(at: number, atLineStart: boolean): number {
    const index = scan(at, this.length, atLineStart ? 1 : 0, this.line);
    this.line = found[0] ?? 0;
    this.longest = Math.max(this.longest, found[1] ?? 0);
    return index;
  }
}
