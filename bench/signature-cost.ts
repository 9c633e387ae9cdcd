/**
 * Measures R: milliseconds of CPU for one signature, made the way a relay makes it (parsed key,
 * callback form, twenty at a time), in a process of its own. Reports `{ cpuMs }`.
 */
import { makeBenchKey, type SignatureKind, signOnce } from './bench-key.ts';
import { readOptions, report } from './control.ts';

export interface SignatureCostOptions {
  readonly signature: SignatureKind;
  readonly count: number;
}

const CONCURRENT = 20;
const options = readOptions<SignatureCostOptions>();
const key = makeBenchKey(options.signature);
const octets = Buffer.alloc(600, 'h');

async function signMany(count: number): Promise<void> {
  let started = 0;
  const loop = async (): Promise<void> => {
    while (started < count) {
      started += 1;
      await new Promise<void>((resolve) => signOnce(key, octets, resolve));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT }, loop));
}

await signMany(200);
const before = process.cpuUsage();
await signMany(options.count);
const used = process.cpuUsage(before);
report({ cpuMs: (used.user + used.system) / 1000 / options.count });
