import { zoneLine } from '../../key-record.ts';
import type { ExportFormat } from './exported-record.ts';

/** Lines of a zone file (RFC 1035 section 5.1), owners absolute. */
export const zoneLines: ExportFormat = {
  name: 'zone',
  description: 'lines for a zone file (RFC 1035)',
  isOfOneZone: false,
  notes: [],
  render: (records) =>
    records
      .map(({ name, ttlS, value, type }) =>
        type === 'TXT'
          ? zoneLine(name, ttlS, value)
          : `${name}. ${ttlS} IN CNAME ${value.replace(/\.$/, '')}.`,
      )
      .map((line) => `${line}\n`)
      .join(''),
};
