import { splitRecordValue } from '../../key-record.ts';
import type { ExportFormat } from './exported-record.ts';

/** For programs of one's own: the value whole, and as the strings of the record. */
export const json: ExportFormat = {
  name: 'json',
  description: 'JSON, the value whole and split',
  isOfOneZone: false,
  notes: [],
  render: (records) => {
    const rows = records.map((record) =>
      record.type === 'TXT' ? { ...record, strings: splitRecordValue(record.value) } : record,
    );
    return `${JSON.stringify({ records: rows }, undefined, 2)}\n`;
  },
};
