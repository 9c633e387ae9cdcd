/** A record to be written into another program's configuration. */
export interface ExportedRecord {
  /** Owner, absolute, lower case, no trailing dot. */
  readonly name: string;
  readonly ttlS: number;
  /** Unsplit; of a CNAME its target. */
  readonly value: string;
  readonly type: 'TXT' | 'CNAME';
}

/** One row of `export-formats.ts`. */
export interface ExportFormat {
  readonly name: string;
  /** What takes it in, in a few words. */
  readonly description: string;
  /** Its names are relative to one zone, so it can hold only records of that. */
  readonly isOfOneZone: boolean;
  /** To be said with it, on standard error. */
  readonly notes: readonly string[];
  /** @param zone the zone that the records belong to, for formats of one zone */
  render(records: readonly ExportedRecord[], zone: string): string;
}

/** The owner relative to the zone; undefined when it lies outside. */
export function relativeName(name: string, zone: string): string | undefined {
  if (name === zone) return '';
  return name.endsWith(`.${zone}`) ? name.slice(0, -(zone.length + 1)) : undefined;
}
