import { stringify } from 'yaml';
import { type ExportedRecord, type ExportFormat, relativeName } from './exported-record.ts';

/**
 * A zone file of octoDNS 1.x (its YamlProvider): names relative to the zone, one entry for each. It
 * splits long TXT values itself; a `;` has to be written `\;`. Names that stand there already have to
 * be merged by hand, so the file comes with the records of keys only.
 */
export const octodns: ExportFormat = {
  name: 'octodns',
  description: 'octoDNS 1.x, records of a zone in YAML',
  isOfOneZone: true,
  notes: [],
  render: (records, zone) => {
    const entries = new Map<string, object>();
    for (const record of records) {
      const name = relativeName(record.name, zone);
      if (name === undefined) throw new RangeError(`${record.name} is not in ${zone}`);
      entries.set(name, entry(record));
    }
    const sorted = [...entries].sort(([one], [other]) => compareNaturally(one, other));
    return stringify(Object.fromEntries(sorted), { lineWidth: 0, directives: true });
  },
};

function entry({ type, ttlS, value }: ExportedRecord): object {
  return type === 'TXT'
    ? { ttl: ttlS, type, value: value.replaceAll(';', '\\;') }
    : { ttl: ttlS, type, value: `${value.replace(/\.$/, '')}.` };
}

/** octoDNS refuses names out of order (enforce_order), and numbers in names count as numbers. */
function compareNaturally(one: string, other: string): number {
  const [left, right] = [one, other].map((name) => name.split(/(\d+)/));
  for (const [index, part] of (left ?? []).entries()) {
    const against = right?.[index];
    if (against === undefined) return 1;
    if (part === against) continue;
    const isNumber = index % 2 === 1;
    const isLess = isNumber ? Number(part) < Number(against) : part < against;
    return isLess ? -1 : 1;
  }
  return -1;
}
