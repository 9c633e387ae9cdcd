import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../base/clock.ts';
import type { KeyringChange, KeyringStore } from '../keyring-store.ts';
import { KeysError } from '../keys-error.ts';
import type { DomainLease, ManifestDomain } from '../manifest.ts';

/** A domain that only we change, while our fencing number is the highest. */
export interface HeldLease {
  readonly fence: number;
  /** @throws KeysError `keyring-lease-lost` */
  check(): Promise<void>;
  release(): Promise<void>;
}

const RETRY_MS = 100;

/**
 * Takes the lease of a domain; a domain that the keyring lacks is entered without keys.
 *
 * @throws KeysError `keyring-leased` when another holder had it for all of `waitMs`
 */
export async function takeLease(
  store: KeyringStore,
  clock: Clock,
  domain: string,
  holder: string,
  options: { readonly leaseMs: number; readonly waitMs: number; readonly takeOver?: boolean },
): Promise<HeldLease> {
  const deadline = clock.monotonicMs() + options.waitMs;
  for (;;) {
    const taken = await store.change<number | DomainLease>(async (current) => {
      const entry = current.domains.get(domain) ?? { domain, subdomains: false, keys: [] };
      const { lease } = entry;
      const isHeld = lease !== undefined && Date.parse(lease.until) > clock.wallMs();
      if (isHeld && options.takeOver !== true) return { domain: undefined, result: lease };
      const fence = (lease?.fence ?? 0) + 1;
      const until = new Date(clock.wallMs() + options.leaseMs).toISOString();
      return { domain: { ...entry, lease: { holder, fence, until } }, result: fence };
    });
    if (typeof taken === 'number') return heldLease(store, clock, domain, taken);
    if (clock.monotonicMs() >= deadline) throw leased(domain, taken);
    await sleep(RETRY_MS * (1 + Math.random())); // not all at the same moment
  }
}

/**
 * Changes a domain, if the lease is still ours.
 *
 * @throws KeysError `keyring-lease-lost`
 */
export async function changeUnderLease<Result>(
  store: KeyringStore,
  lease: Pick<HeldLease, 'fence'>,
  domain: string,
  edit: (entry: ManifestDomain) => Promise<KeyringChange<Result>>,
): Promise<Result> {
  return await store.change(async (current) => {
    const entry = current.domains.get(domain);
    if (entry?.lease?.fence !== lease.fence) throw lost(domain);
    return await edit(entry);
  });
}

function heldLease(store: KeyringStore, clock: Clock, domain: string, fence: number): HeldLease {
  return {
    fence,
    check: async () => {
      const entry = (await store.read()).domains.get(domain);
      if (entry?.lease?.fence !== fence) throw lost(domain);
    },
    release: async () => {
      await store.change(async (current) => {
        const entry = current.domains.get(domain);
        if (entry?.lease?.fence !== fence) return { domain: undefined, result: undefined };
        const until = new Date(clock.wallMs()).toISOString();
        return { domain: { ...entry, lease: { ...entry.lease, until } }, result: undefined };
      });
    },
  };
}

function leased(domain: string, lease: DomainLease): KeysError {
  const message = `${domain} is being changed by ${lease.holder}`;
  return new KeysError('keyring-leased', message, {
    hint: `run the command again; the lease ends at ${lease.until}`,
  });
}

function lost(domain: string): KeysError {
  return new KeysError('keyring-lease-lost', `${domain}: somebody else took the lease over`, {
    hint: 'look at "waxseal keys history" and run the command again',
  });
}
