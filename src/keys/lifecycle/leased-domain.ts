import { KeysError } from '../keys-error.ts';
import type { ManifestDomain } from '../manifest.ts';
import { tracingRequests } from '../request-trace.ts';
import { changeUnderLease, type HeldLease, takeLease } from '../store/lease.ts';
import type { LeaseAccess } from './lifecycle-access.ts';
import { isGone } from './process-holder.ts';

/** A domain while a step writes. It is never held while something is waited for. */
export interface LeasedDomain {
  /** As it stood when the lease was taken. */
  readonly entry: ManifestDomain;
  /**
   * Writes the entry that `edit` makes of the newest one.
   *
   * @returns the entry as written
   * @throws KeysError `keyring-lease-lost`
   */
  write(edit: (entry: ManifestDomain) => ManifestDomain): Promise<ManifestDomain>;
}

const LEASE_MS = 60_000;
/** Another writer's step takes seconds; a publisher may wait a minute for its servers. */
const LEASE_WAIT_MS = 180_000;

/**
 * Runs `action` while nobody else changes the domain.
 *
 * @param takeOver take the lease away from whoever has it: for an emergency
 */
export async function underLease<Result>(
  access: LeaseAccess,
  domain: string,
  action: (held: LeasedDomain) => Promise<Result>,
  takeOver = false,
): Promise<Result> {
  const lease = await take(access, domain, takeOver);
  try {
    const write: LeasedDomain['write'] = async (edit) =>
      await changeUnderLease(access.store, lease, domain, async (current) => {
        const after = edit(current);
        return { domain: after === current ? undefined : after, result: after };
      });
    return await tracingRequests(async () => await action({ entry: lease.entry, write }));
  } finally {
    // What was written is written; a lease that stays ends by itself.
    await lease.release().catch(() => undefined);
  }
}

async function take(access: LeaseAccess, domain: string, takeOver: boolean): Promise<HeldLease> {
  const { store, clock, holder } = access;
  const signal = access.interruption?.signal;
  const options = { leaseMs: LEASE_MS, waitMs: 0, takeOver, ...(signal && { signal }) };
  try {
    return await takeLease(store, clock, domain, holder, options);
  } catch (error) {
    if (takeOver || !(error instanceof KeysError)) throw error;
  }
  access.progress(`${domain}: somebody else changes it now; waiting`);
  // Somebody has it: it is waited for, unless that process is dead.
  const isLeft = await holderIsGone(access, domain);
  const more = isLeft ? { takeOver: true } : { waitMs: LEASE_WAIT_MS };
  return await takeLease(store, clock, domain, holder, { ...options, ...more });
}

/** A killed process of this machine left its lease behind. */
async function holderIsGone(access: LeaseAccess, domain: string): Promise<boolean> {
  const holder = await access.store.change(async (current) => {
    const lease = current.domains.get(domain)?.lease;
    const isHeld = lease !== undefined && Date.parse(lease.until) > access.clock.wallMs();
    return { domain: undefined, result: isHeld ? lease.holder : undefined };
  });
  return holder !== undefined && (await isGone(holder));
}

/** True when somebody else was faster; the step is decided anew. */
export function isLeaseLost(error: unknown): boolean {
  return error instanceof KeysError && error.code === 'keyring-lease-lost';
}
