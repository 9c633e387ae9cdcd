import type { Keyring } from './keyring.ts';
import { KeysError } from './keys-error.ts';

/**
 * What a reload must not do. A file that is lost or damaged must not stop what can be signed now;
 * what the operator wrote into a manifest counts, of course.
 */

/** Domains that a message names; the rest is counted. */
const MAX_NAMED = 5;

/**
 * Compares a keyring with the one in force.
 *
 * @throws KeysError `keyring-outdated`, `keyring-shrunk`, `keyring-unusable`, `keyring-worse`
 */
export function refuseWorse(current: Keyring, next: Keyring): void {
  refuseOlder(current, next);
  refuseShrunk(current, next);
  if (current.fault === undefined && next.fault !== undefined) {
    throw new KeysError('keyring-unusable', `the new keyring cannot sign: ${next.fault}`);
  }
  refuseBroken(current, next);
}

/** A manifest that went back in time would bring revoked keys back to life. */
function refuseOlder(current: Keyring, next: Keyring): void {
  for (const [file, seen] of current.generations) {
    const found = next.generations.get(file);
    if (found === undefined || found >= seen) continue;
    const message = `${file}: generation ${found} is older than ${seen}, which is in force`;
    throw new KeysError('keyring-outdated', message, {
      hint: 'an old copy of the keyring was put in place? if that is meant, restart the relay',
    });
  }
}

/** Mail of a domain that is gone would bounce, or leave unsigned. */
function refuseShrunk(current: Keyring, next: Keyring): void {
  for (const file of current.generations.keys()) {
    if (next.generations.has(file)) continue;
    const lost = current.domains.filter(
      (domain) => current.files.get(domain) === file && !next.files.has(domain),
    );
    if (lost.length === 0) continue;
    const message = `${file} is gone from the keyring, and with it ${listed(lost)}`;
    throw new KeysError('keyring-shrunk', message, {
      hint: 'put it back; if the domains are to go, take them out of the manifest and leave the file, or restart the relay',
    });
  }
  if (current.domains.length > 0 && next.domains.length === 0) {
    const message = `the keyring has no domain any more; it had ${listed(current.domains)}`;
    throw new KeysError('keyring-shrunk', message, {
      hint: 'restore the manifest; if the domains are to go, restart the relay',
    });
  }
}

/** Keys that do not open must not take the place of keys that sign. */
function refuseBroken(current: Keyring, next: Keyring): void {
  const worse = [...next.broken].filter(([domain]) => {
    const before = current.keysFor(domain);
    // A key that was revoked meanwhile is no better than one that does not open.
    return (
      before.kind === 'keys' &&
      before.keys.every((key) => next.mayBePublished(key.domain, key.selector))
    );
  });
  const [first] = worse;
  if (first === undefined) return;
  const others = worse.slice(1).map(([domain]) => domain);
  const more = others.length === 0 ? '' : `; the same holds for ${listed(others)}`;
  const message = `${first[0]} can be signed now and could not with the new keyring: ${first[1]}${more}`;
  throw new KeysError('keyring-worse', message, {
    hint: 'restore the private key, or make and activate new ones; then reload again',
  });
}

function listed(domains: readonly string[]): string {
  const more = domains.length - MAX_NAMED;
  const named = domains.slice(0, MAX_NAMED).join(', ');
  return more > 0 ? `${named} and ${more} more` : named;
}
