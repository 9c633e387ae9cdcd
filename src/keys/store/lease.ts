import type { Clock } from '../../base/clock.ts';
import { pause } from '../../base/pause.ts';
import type { KeyringChange, KeyringSnapshot, KeyringStore } from '../keyring-store.ts';
import { KeysError, KeysRefusal } from '../keys-error.ts';
import type { DomainLease, ManifestDomain } from '../manifest.ts';

/**
 * Leases: who changes a domain now. A lease stands in the domain's own entry of the manifest, so
 * taking it is a compare-and-set like every other change. It runs out by itself, since its holder
 * may have died; its fencing number rises with each lease of the domain, so a holder that slept
 * through the end of its lease can write nothing any more. It is held while a step writes, and never
 * while a step waits.
 */

export interface LeaseOptions {
  /** How long it lasts, in milliseconds; every write under it renews it. */
  readonly leaseMs: number;
  /** How long to wait for another holder, in milliseconds. */
  readonly waitMs: number;
  /** Take it though another one holds it: that one writes nothing any more. Only `emergency` does. */
  readonly takeOver?: boolean;
  /** Ends the wait for another holder. */
  readonly signal?: AbortSignal;
}

export interface HeldLease {
  readonly fence: number;
  /** The domain as it stood when the lease was taken. */
  readonly entry: ManifestDomain;
  /** What others are told. */
  readonly holder: string;
  /** @throws KeysError `keyring-lease-lost` when another one has taken it */
  check(): Promise<void>;
  /** Lets others go on at once. Never rejects: what is not released runs out. */
  release(): Promise<void>;
  /**
   * The lease as it goes on.
   *
   * @param entry the domain as it stands
   * @throws KeysError `keyring-lease-lost`
   */
  renewed(entry: ManifestDomain | undefined): DomainLease;
}

/** How long a lease lasts if nobody says otherwise. */
export const LEASE_MS = 60_000;
/** Between two looks at a lease that another one holds. */
const RETRY_MS = 250;
/** As many as a manifest takes. */
const MAX_HOLDER_CHARACTERS = 128;

type Attempt =
  | { readonly kind: 'taken'; readonly entry: ManifestDomain; readonly lease: DomainLease }
  | { readonly kind: 'held'; readonly lease: DomainLease };

/**
 * Takes the lease of a domain. A domain that is not in the keyring yet gets an entry without keys,
 * which signs nothing and hides no parent.
 *
 * @param holder who asks, for the messages of others: host, process, command
 * @throws KeysRefusal `keyring-leased` when another one held it for all of `waitMs`
 * @throws KeysError of the store
 */
export async function takeLease(
  store: KeyringStore,
  clock: Clock,
  domain: string,
  holder: string,
  options: LeaseOptions,
): Promise<HeldLease> {
  const name = holder.slice(0, MAX_HOLDER_CHARACTERS);
  const endMs = clock.monotonicMs() + options.waitMs;
  let outlived: DomainLease | undefined;
  for (;;) {
    const attempt = await tryTake(store, clock, domain, name, { ...options, outlived });
    if (attempt.kind === 'taken') {
      return heldLease(store, clock, attempt.entry, attempt.lease, options.leaseMs);
    }
    const { leaseMs, signal } = options;
    outlived = await untilFree(store, clock, domain, attempt.lease, { leaseMs, endMs, signal });
  }
}

/**
 * Changes a domain under its lease, and renews the lease with the same write.
 *
 * @param edit as that of `KeyringStore.change`, of the domain as it stands; it leaves `lease` alone
 * @param options `release`: this is the last write; the lease ends with it
 * @throws KeysError `keyring-lease-lost` when the lease is no longer ours; nothing is written then
 */
export async function changeUnderLease<Result>(
  store: KeyringStore,
  lease: HeldLease,
  domain: string,
  edit: (entry: ManifestDomain, current: KeyringSnapshot) => Promise<KeyringChange<Result>>,
  options: { readonly release?: boolean } = {},
): Promise<Result> {
  return await store.change(async (current) => {
    const entry = current.domains.get(domain) ?? { domain, subdomains: false, keys: [] };
    const renewed = lease.renewed(entry);
    const { domain: changed, result } = await edit(entry, current);
    if (changed === undefined) return { domain: undefined, result };
    if (changed.domain !== domain) throw new RangeError(`the lease is not for ${changed.domain}`);
    const ended = { ...renewed, until: new Date(0).toISOString() };
    return { domain: { ...changed, lease: options.release === true ? ended : renewed }, result };
  });
}

async function tryTake(
  store: KeyringStore,
  clock: Clock,
  domain: string,
  holder: string,
  { leaseMs, takeOver = false, outlived }: LeaseOptions & { outlived: DomainLease | undefined },
): Promise<Attempt> {
  return await store.change(async (current): Promise<KeyringChange<Attempt>> => {
    const entry = current.domains.get(domain) ?? { domain, subdomains: false, keys: [] };
    const other = entry.lease;
    const isInForce = other !== undefined && isHeld(other, clock) && !isSame(other, outlived);
    if (isInForce && !takeOver) {
      return { domain: undefined, result: { kind: 'held', lease: other } };
    }
    const lease = { holder, fence: (other?.fence ?? 0) + 1, until: after(clock, leaseMs) };
    const taken = { ...entry, lease };
    return { domain: taken, result: { kind: 'taken', entry: taken, lease } };
  });
}

interface LeaseWait {
  readonly leaseMs: number;
  /** By the monotonic clock. */
  readonly endMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Waits. Reads only: whoever waits must not be in the way of who works.
 *
 * @returns a lease that was not renewed for its whole time, as seen from here: it has run out whatever
 *   it says, since the clock of its holder's machine may be wrong by days
 */
async function untilFree(
  store: KeyringStore,
  clock: Clock,
  domain: string,
  held: DomainLease,
  { leaseMs, endMs, signal }: LeaseWait,
): Promise<DomainLease | undefined> {
  let lease: DomainLease | undefined = held;
  let seen = { lease: held, sinceMs: clock.monotonicMs() };
  while (lease !== undefined && isHeld(lease, clock)) {
    const nowMs = clock.monotonicMs();
    if (!isSame(lease, seen.lease)) seen = { lease, sinceMs: nowMs };
    if (nowMs - seen.sinceMs > leaseMs) return lease;
    if (nowMs >= endMs || signal?.aborted === true) throw leased(domain, lease);
    await pause(clock, RETRY_MS * (0.75 + Math.random() / 2));
    lease = (await store.read()).domains.get(domain)?.lease;
  }
  return undefined;
}

function isSame(one: DomainLease, other: DomainLease | undefined): boolean {
  return one.fence === other?.fence && one.until === other.until && one.holder === other.holder;
}

function heldLease(
  store: KeyringStore,
  clock: Clock,
  taken: ManifestDomain,
  { holder, fence }: DomainLease,
  leaseMs: number,
): HeldLease {
  const { domain } = taken;
  const isOurs = (entry: ManifestDomain | undefined) =>
    entry?.lease?.holder === holder && entry.lease.fence === fence;
  const refuseLost = (entry: ManifestDomain | undefined) => {
    if (!isOurs(entry)) throw lost(domain, entry?.lease);
  };
  return {
    fence,
    entry: taken,
    holder,
    check: async () => refuseLost((await store.read()).domains.get(domain)),
    renewed: (entry) => {
      // Past its time it is still ours as long as nobody took it: the write would fail otherwise.
      refuseLost(entry);
      return { holder, fence, until: after(clock, leaseMs) };
    },
    release: async () => {
      try {
        await store.change(async (current) => {
          const entry = current.domains.get(domain);
          if (entry?.lease === undefined || !isOurs(entry) || !isHeld(entry.lease, clock)) {
            return { domain: undefined, result: undefined };
          }
          const until = new Date(0).toISOString();
          return { domain: { ...entry, lease: { holder, fence, until } }, result: undefined };
        });
      } catch {
        // It runs out.
      }
    },
  };
}

/** The fencing number stays in the manifest when a lease has ended; only its time counts. */
function isHeld({ until }: DomainLease, clock: Clock): boolean {
  return Date.parse(until) > clock.wallMs();
}

function after(clock: Clock, ms: number): string {
  return new Date(clock.wallMs() + ms).toISOString();
}

function leased(domain: string, lease: DomainLease): KeysRefusal {
  const message = `${domain} is being changed by ${lease.holder}, until ${lease.until} or longer`;
  return new KeysRefusal('keyring-leased', message, {
    hint: 'wait for it and run the command again; a command that was killed holds a domain for a minute',
  });
}

function lost(domain: string, lease: DomainLease | undefined): KeysError {
  const by = lease === undefined ? 'somebody' : lease.holder;
  const message = `the lease of ${domain} was taken over by ${by}; nothing was written`;
  return new KeysError('keyring-lease-lost', message, { hint: 'run the command again' });
}
