import type { KeyringHolder } from '../keyring-holder.ts';
import type { StandInUse } from '../stand-in-uses.ts';
import { MAX_LISTED_STAND_INS, type RelayReport, type StandInReport } from './relay-reports.ts';

/**
 * What a relay reports of retiring keys that sign in place of their successors. A report outlives
 * its relay as long as such a key is retiring; another relay that takes the report away takes over
 * what it says.
 */

export type StandInFields = Pick<RelayReport, 'standIns' | 'standInsMoreAt'>;

/** For so long the time of keys that no report lists is carried on: no policy waits longer. */
const OTHERS_COUNT_MS = 400 * 86_400_000;

/** @param wallMs now, in milliseconds since the epoch */
export function standInReport(holder: KeyringHolder, wallMs: number): StandInFields {
  holder.standIns.noteKeyring(holder.keyring, wallMs);
  holder.standIns.forget((use) => isOver(holder, use));
  const all = holder.standIns.list();
  const standIns = all.slice(0, MAX_LISTED_STAND_INS).map(reported);
  const moreMs = Math.max(
    all[MAX_LISTED_STAND_INS]?.lastMs ?? 0,
    holder.standIns.othersMs > wallMs - OTHERS_COUNT_MS ? holder.standIns.othersMs : 0,
  );
  return moreMs === 0 ? { standIns } : { standIns, standInsMoreAt: timeText(moreMs) };
}

/** Does a report say anything of that? */
export function tellsOfStandIns({ standIns, standInsMoreAt }: StandInFields): boolean {
  return (standIns?.length ?? 0) > 0 || standInsMoreAt !== undefined;
}

/**
 * Takes over what the report of a relay that is gone says.
 *
 * @returns false when it says nothing that counts still
 */
export function inheritStandIns(holder: KeyringHolder, report: RelayReport): boolean {
  const uses = (report.standIns ?? []).map(({ domain, selector, at }): StandInUse => {
    return { domain, selector, lastMs: Date.parse(at) };
  });
  const counting = uses.filter((use) => !isOver(holder, use));
  for (const { domain, selector, lastMs } of counting) {
    holder.standIns.noteUse(domain, selector, lastMs);
  }
  const othersMs = Date.parse(report.standInsMoreAt ?? '');
  if (!Number.isNaN(othersMs)) holder.standIns.noteOthers(othersMs);
  return counting.length > 0 || !Number.isNaN(othersMs);
}

/** Withdrawn by now, or active again. Of a keyring that is not known as it stands, nobody can say. */
function isOver(
  { keyring, isConfirmed }: KeyringHolder,
  { domain, selector }: StandInUse,
): boolean {
  const keys = keyring?.snapshot.domains.get(domain)?.keys;
  const key = keys?.find((one) => one.selector === selector);
  return isConfirmed && key?.state !== 'retiring';
}

function reported({ domain, selector, lastMs }: StandInUse): StandInReport {
  return { domain, selector, at: timeText(lastMs) };
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
