import path from 'node:path';
import { makeDirectory, writeFileAtomic } from './atomic-write.ts';
import { recordName } from './key-name.ts';
import type { KeyringAccess } from './keyring-access.ts';
import { KeysError, KeysRefusal, systemReason } from './keys-error.ts';
import { MAX_TTL_S, type ManifestKey } from './manifest.ts';
import { liveSharersOf } from './shared-keys.ts';
import { storedKey } from './stored-key.ts';

/**
 * Publishing the private half of a revoked key. Whoever has it can make signatures that look old,
 * so an old signature proves nothing to third parties any more, and mail that was stolen from a
 * mailbox can be denied (https://blog.cryptographyengineering.com/2020/11/16/ok-google-please-publish-your-dkim-secret-keys/).
 * Too early, it is a gift to forgers: so only when no verifier can still hold the key record, and
 * never while another domain uses the same private key.
 */

export interface RevealKeyRequest {
  readonly domain: string;
  readonly selector: string;
  /** Where PEM files are published; undefined: the setting is off. */
  readonly directory: string | undefined;
  /** The longest TTL in seconds that the record ever had, where that may be more than the key's. */
  readonly longestTtlS?: number;
}

export type Revelation =
  | { readonly kind: 'revealed'; readonly file: string }
  /** Caches may hold the key record until then (UTC, ISO 8601). */
  | { readonly kind: 'waiting'; readonly until: string };

/** The world may read these. */
const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;

/**
 * Writes `SELECTOR.DOMAIN.pem` (PKCS#8) into the directory, once the TTL of the key record has
 * passed since the revocation was seen everywhere (`revokedAt`). Again writes the same file.
 *
 * @throws KeysRefusal `key-reveal-off`, `key-selector-unknown`, `key-state`,
 *   `key-revocation-not-seen`, `key-shared`, `key-not-revealable`; KeysError `key-unwritable`
 */
export async function revealKey(
  access: KeyringAccess,
  request: RevealKeyRequest,
): Promise<Revelation> {
  const { domain, selector, directory, longestTtlS = 0 } = request;
  const name = recordName(selector, domain);
  if (directory === undefined) return refuseRevelation(name);
  const snapshot = await access.store.read();
  const key = snapshot.domains.get(domain)?.keys.find((one) => one.selector === selector);
  if (key === undefined) {
    throw new KeysRefusal('key-selector-unknown', `${domain} has no key with selector ${selector}`);
  }
  const seenMs = revokedSeenMs(name, key);
  const others = liveSharersOf(snapshot, domain, key).map((sharer) => sharer.domain);
  if (others.length > 0) {
    const message = `${name}: the same private key is not revoked in ${others.slice(0, 5).join(', ')}`;
    throw new KeysRefusal('key-shared', message, { hint: 'revoke it there first' });
  }
  const untilMs = seenMs + Math.max(ttlOf(key), longestTtlS) * 1000;
  if (access.clock.wallMs() < untilMs) {
    return { kind: 'waiting', until: new Date(untilMs).toISOString() };
  }
  const file = path.join(directory, `${selector}.${domain}.pem`);
  await write(file, await exportKey(access, domain, key));
  return { kind: 'revealed', file };
}

/** For how long caches may hold the key record, in seconds. A person may have given it any TTL. */
function ttlOf({ publisher, ttlS }: ManifestKey): number {
  const isByHand = publisher === undefined || publisher === 'print';
  return isByHand ? Math.max(ttlS, MAX_TTL_S) : ttlS;
}

/** @throws KeysRefusal `key-reveal-off` */
export function refuseRevelation(name: string): never {
  throw new KeysRefusal('key-reveal-off', `${name}: keys are not revealed here`, {
    hint: 'set keys.rotation.reveal to a directory, if revealing keys is meant',
  });
}

/** When all authoritative servers showed the empty `p=`, in milliseconds since the epoch. */
function revokedSeenMs(name: string, key: ManifestKey): number {
  if (key.state !== 'revoked') {
    const isGone = key.state === 'destroyed';
    const message = isGone ? 'its private key is erased' : `the key is ${key.state}, not revoked`;
    const hint = 'only a revoked key may become public: "waxseal keys revoke" first';
    throw new KeysRefusal('key-state', `${name}: ${message}`, isGone ? {} : { hint });
  }
  if (key.revokedAt !== undefined) return Date.parse(key.revokedAt);
  const message = `${name}: the empty p= was not seen on all name servers yet`;
  throw new KeysRefusal('key-revocation-not-seen', message, {
    hint: 'look at "waxseal keys status"; try again when all servers show it',
  });
}

async function exportKey(access: KeyringAccess, domain: string, key: ManifestKey): Promise<Buffer> {
  const { selector, backend } = key;
  const connected = await access.connect(backend, 'must-exist');
  if (connected.reveal === undefined) {
    const message = `${recordName(selector, domain)}: the back end ${backend} never gives a private key out`;
    throw new KeysRefusal('key-not-revealable', message, {
      hint: 'a key that is to be revealed later is made with the back end file or kms-envelope',
    });
  }
  const revealed = await connected.reveal(storedKey(domain, key));
  return Buffer.from(revealed.export({ type: 'pkcs8', format: 'pem' }));
}

async function write(file: string, pem: Buffer): Promise<void> {
  try {
    await makeDirectory(path.resolve(path.dirname(file)), DIRECTORY_MODE);
    await writeFileAtomic(file, pem, FILE_MODE);
  } catch (error) {
    throw new KeysError('key-unwritable', `${file} ${systemReason(error)}`, { cause: error });
  }
}
