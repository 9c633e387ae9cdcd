/**
 * Assembles src/base/kernels/octet-kernels.wat into a module that Node runs as it is. The result is
 * committed; test/unit/base/octet-kernels.test.ts sees to it that it is that of the source.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import wabtFactory from 'wabt';

const FOLDER = new URL('../src/base/kernels/', import.meta.url);
const TARGET = new URL('octet-kernels.wasm.ts', FOLDER);

/** The text of the generated file. */
export async function assembledKernels(): Promise<string> {
  const source = readFileSync(new URL('octet-kernels.wat', FOLDER), 'utf8');
  const wabt = await wabtFactory();
  const parsed = wabt.parseWat('octet-kernels.wat', source, { simd: true });
  const { buffer } = parsed.toBinary({});
  parsed.destroy();
  const lines = Buffer.from(buffer)
    .toString('base64')
    .replace(/.{1,96}/g, (line) => `  '${line}' +\n`)
    .replace(/ \+\n$/, '');
  return `/** octet-kernels.wat as WebAssembly, base64; made by scripts/build-kernels.ts. */\nexport const OCTET_KERNELS =\n${lines};\n`;
}

if (import.meta.main) writeFileSync(TARGET, await assembledKernels());
