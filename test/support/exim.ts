import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findPeer, requirePeer } from './peers.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const CACHE = fileURLToPath(new URL('../../.cache/bin', import.meta.url));

/**
 * Path of an Exim. Where peers are required and there is none, its Debian package is unpacked
 * (beside an installed Postfix it cannot be installed); elsewhere the test is skipped by name.
 *
 * @param context mocha's `this`
 */
export async function requireExim(context: Mocha.Context): Promise<string> {
  const found = findPeer('exim4');
  if (found !== undefined) return found;
  if (process.env.WAXSEAL_REQUIRE_PEERS !== '1') return requirePeer(context, 'exim4');
  context.timeout(120_000);
  await promisify(execFile)(join(HERE, 'unpack-exim.sh'), [CACHE]);
  return join(CACHE, 'exim4');
}
