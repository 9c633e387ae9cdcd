import { accessSync, constants } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';

/** Where Debian puts the daemons, which an ordinary user's PATH often lacks. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/sbin', '/usr/bin', '/usr/lib/postfix/sbin'];

/** Absolute path of an installed program, or undefined. */
export function findPeer(program: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(':'), ...SYSTEM_FOLDERS];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, program))
    .find(isExecutable);
}

/**
 * For tests that need a program which only root can install (a real Postfix, a real DNS server).
 * Call it first in the test or in its `before` hook. A missing program skips the test, which
 * mocha then lists by its name; with `WAXSEAL_REQUIRE_PEERS=1` (as in CI) it is a failure, so that
 * a CI machine cannot lose tests in silence.
 *
 * @param context mocha's `this` (so the test must be a `function`, not an arrow)
 * @param program file name of the program, e.g. `named`
 * @returns absolute path of the program
 */
export function requirePeer(context: Mocha.Context, program: string): string {
  const path = findPeer(program);
  if (path !== undefined) return path;
  if (process.env.WAXSEAL_REQUIRE_PEERS === '1') {
    throw new Error(
      `the peer program "${program}" is not installed, and WAXSEAL_REQUIRE_PEERS=1 forbids skipping`,
    );
  }
  return context.skip();
}

/**
 * For tests that need IPv6: a container may lack even the loopback address `::1`, and no package
 * brings it. Call it first, as `requirePeer`; without the address the test is skipped by its name, which
 * must have `::1` in it: `.ci/run` leaves such tests out there.
 */
export function requireIpv6Loopback(context: Mocha.Context): void {
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  if (!addresses.some(({ address }) => address === '::1')) context.skip();
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
