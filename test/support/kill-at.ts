/**
 * Preloaded into a process (`node --import`): kills it (SIGKILL) at the n-th step that puts
 * something on the disk, where n stands in KILL_AT: before each file that appears, is replaced or
 * grows, which is what others see of a step.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

let step = 0;

const promises = fs.promises as unknown as Record<string, (...args: unknown[]) => unknown>;
for (const name of ['rename', 'appendFile', 'open']) {
  const original = promises[name]!;
  promises[name] = (...args) => {
    const isStep = name !== 'open' || String(args[1]).startsWith('a'); // the journal grows
    if (isStep) step += 1;
    if (isStep && step === Number(process.env.KILL_AT)) process.kill(process.pid, 'SIGKILL');
    return original.apply(promises, args);
  };
}
syncBuiltinESMExports();
