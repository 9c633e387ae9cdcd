import { getServers } from 'node:dns';
import { systemClock } from '../base/clock.ts';
import { type DnsSettings, seenOptions } from '../keys/dns/seen-options.ts';
import { authoritativeRecords, type StandingRecords } from '../keys/import/standing-record.ts';

/** What `keys import` uses besides the others; without one, what needs it is refused. */
export interface KeysImportParts {
  /** Asks the zone's own servers for the record that stands at a name. */
  openStanding?(settings: { readonly dns: DnsSettings }): StandingRecords;
}

/** The machine's own. */
export const SYSTEM_IMPORT_PARTS: KeysImportParts = {
  openStanding: ({ dns }) => authoritativeRecords(seenOptions(dns, getServers(), systemClock)),
};
