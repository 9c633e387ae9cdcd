/**
 * A program that kills itself (SIGKILL) at the n-th step of creating and activating keys, where a
 * step is a call that changes a directory: what was written in between is seen by nobody before it. Arguments: keys.dir, master key file, n.
 * It prints `done` when it got through.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const [dir, masterKeyFile, killAt] = process.argv.slice(2);
let step = 0;

function dieAtTurn(): void {
  step += 1;
  if (step === Number(killAt)) process.kill(process.pid, 'SIGKILL');
}

const promises = fs.promises as unknown as Record<string, (...args: unknown[]) => unknown>;
for (const name of ['rename', 'link', 'unlink', 'mkdir']) {
  const original = promises[name]!;
  promises[name] = (...args) => {
    dieAtTurn();
    return original.apply(promises, args);
  };
}
syncBuiltinESMExports();

const { systemClock } = await import('../../src/base/clock.ts');
const { activateKeys } = await import('../../src/keys/activate-keys.ts');
const { keyringAccess } = await import('../../src/keys/keyring-access.ts');
const { addKeys, TxtTable } = await import('./keyring.ts');

const access = keyringAccess({ dir: dir!, masterKeyFile: masterKeyFile! }, systemClock);
const added = await addKeys(access, 'example.com');
const dns = new TxtTable();
dns.publish('example.com', ...added.added);
const selectors = added.added.map((key) => key.selector);
await activateKeys(access, { domain: 'example.com', selectors, force: true }, dns);
process.stdout.write('done\n');
