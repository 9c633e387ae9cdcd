import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { isoTime, timeOf, withKeys } from './key-changes.ts';
import { underLease } from './leased-domain.ts';
import { note } from './lifecycle-access.ts';
import { DAY_MS } from './policy.ts';
import type { RelayView } from './relay-index.ts';
import type { StepWork } from './step-work.ts';

/**
 * Until when relays signed with a retiring key, because they could not use its successor. Their
 * reports tell; the manifest keeps it (`stoodInAt`), for reports may be lost. `retireAfter` counts
 * from then.
 */

/** While it goes on it is written once a day; a time that is so old will not change any more. */
const SETTLED_MS = 3_600_000;

/** The key with the last time of which manifest or reports tell. */
export function withStandIn(key: ManifestKey, view: RelayView): ManifestKey {
  const toldMs = key.state === 'retiring' ? view.stoodInMs(key.selector) : undefined;
  if (toldMs === undefined || toldMs <= knownMs(key)) return key;
  return { ...key, stoodInAt: isoTime(toldMs) };
}

/** The same for all keys of a domain. */
export function withStandIns(entry: ManifestDomain, view: RelayView): ManifestDomain {
  const keys = entry.keys.map((key) => withStandIn(key, view));
  return keys.every((key, index) => key === entry.keys[index]) ? entry : { ...entry, keys };
}

/** Do reports tell of a time that has to be kept in the manifest? */
export async function isToBeNoted(work: StepWork, entry: ManifestDomain): Promise<boolean> {
  return (await newTimes(work, entry)).length > 0;
}

/**
 * Keeps in the manifest what reports tell.
 *
 * @returns the entry as it stands then
 * @throws KeysError when the keyring cannot be written
 */
export async function noteStandIns(work: StepWork, entry: ManifestDomain): Promise<ManifestDomain> {
  if (!(await isToBeNoted(work, entry))) return entry;
  const { access } = work;
  const { domain } = entry;
  return await underLease(access, domain, async (held) => {
    const keys = await newTimes(work, held.entry);
    let after = held.entry;
    for (const { selector, stoodInAt } of keys) {
      const details = { at: stoodInAt };
      await note(access, { event: 'stood-in', domain, selector, details });
      after = await held.write((current) => withKeys(current, [selector], () => ({ stoodInAt })));
    }
    return after;
  });
}

async function newTimes(work: StepWork, entry: ManifestDomain) {
  const view = await work.relays.of(entry.domain);
  const nowMs = work.access.clock.wallMs();
  return withStandIns(entry, view).keys.flatMap((key, index) => {
    const before = entry.keys[index];
    const { selector, stoodInAt } = key;
    const toldMs = timeOf(stoodInAt);
    if (key === before || before === undefined || toldMs === undefined) return [];
    const notedMs = timeOf(before.stoodInAt) ?? Number.NEGATIVE_INFINITY;
    const isWorthIt = nowMs - toldMs >= SETTLED_MS || toldMs - notedMs >= DAY_MS;
    return isWorthIt && stoodInAt !== undefined ? [{ selector, stoodInAt }] : [];
  });
}

/** From when on nobody but a relay that reports it signs with the key. */
function knownMs({ stoodInAt, retiringSince }: ManifestKey): number {
  return Math.max(timeOf(stoodInAt) ?? 0, timeOf(retiringSince) ?? 0);
}
