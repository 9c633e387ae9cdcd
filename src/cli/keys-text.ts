import { recordName } from '../keys/key-name.ts';
import { recordValue, revokedRecordValue, splitRecordValue, zoneLine } from '../keys/key-record.ts';
import { KEY_STATE_ROWS } from '../keys/key-state.ts';
import type { ManifestDomain, ManifestKey } from '../keys/manifest.ts';

/** A key's DNS record in the forms in which people and programs want it. */
export interface DnsRecordText {
  readonly domain: string;
  readonly selector: string;
  readonly state: string;
  /** Owner name, without a trailing dot. */
  readonly name: string;
  readonly type: 'TXT';
  readonly ttlS: number;
  /** Unsplit, for web forms. */
  readonly value: string;
  /** Split into strings of at most 255 octets. */
  readonly strings: readonly string[];
  readonly zoneLine: string;
}

/** What a back end keeps in the manifest, encrypted as it is, is nobody's to read. */
const UNSHOWN: ReadonlySet<string> = new Set(['ciphertext', 'sealed']);

/** A key for programs: as in the manifest, without its private half in any form. */
export function shownKey({ material, ...key }: ManifestKey) {
  if (material === undefined) return key;
  const names = Object.entries(material).filter(([name]) => !UNSHOWN.has(name));
  return names.length === 0 ? key : { ...key, material: Object.fromEntries(names) };
}

/** 512 octets (RFC 1035 section 4.2.1) less header, question and the head of the record. */
const MAX_PLAIN_UDP_OCTETS = 440;

/** The records of a domain's keys; none for states that have no record. */
export function dnsRecords(entry: ManifestDomain, keys: readonly ManifestKey[]): DnsRecordText[] {
  return keys
    .filter((key) => KEY_STATE_ROWS[key.state].record !== 'none')
    .map((key) => {
      const isRevoked = KEY_STATE_ROWS[key.state].record === 'revoked';
      const value = isRevoked ? revokedRecordValue(key) : recordValue(key);
      const name = recordName(key.selector, entry.domain);
      return {
        domain: entry.domain,
        selector: key.selector,
        state: key.state,
        name,
        type: 'TXT',
        ttlS: key.ttlS,
        value,
        strings: splitRecordValue(value),
        zoneLine: zoneLine(name, key.ttlS, value),
      };
    });
}

/** The records as text: a line for zone files, and name and value for web forms. */
export function dnsRecordsText(records: readonly DnsRecordText[]): string {
  const zone = records.map((record) => record.zoneLine);
  const forms = records.map(
    (record) => `  Name:  ${record.name}\n  Type:  TXT\n  Value: ${record.value}\n`,
  );
  return [
    'For a zone file:',
    '',
    ...zone,
    '',
    'For the web form of a DNS provider (one value, not split; some want the name without the domain):',
    '',
    ...forms,
  ].join('\n');
}

/** What to mind with records that are large. */
export function recordWarnings(records: readonly DnsRecordText[]): string[] {
  return records
    .filter((record) => record.value.length > MAX_PLAIN_UDP_OCTETS)
    .map(
      (record) =>
        `${record.name}: the record has ${record.value.length} octets, too many for DNS over plain UDP: ` +
        'check that your name servers answer it with EDNS and over TCP',
    );
}

/** A table with a heading, columns padded to their widest cell. */
export function tableText(
  heading: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return `${[heading, ...rows].map(line).join('\n')}\n`;
}
