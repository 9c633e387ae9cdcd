import type { ResourceRecordSet } from '@aws-sdk/client-route-53';
import { splitRecordValue } from '../key-record.ts';
import type { Standing } from './compare-standing.ts';
import type { RecordChange } from './publisher.ts';

/** Records as Route 53 writes them (Developer Guide, "Supported DNS record types"). */

/** A set of one record that we write. */
export function recordSet(change: RecordChange, value: string, ttlS: number): ResourceRecordSet {
  const { name, type } = change;
  return {
    Name: `${name}.`,
    Type: type,
    TTL: ttlS,
    ResourceRecords: [{ Value: type === 'TXT' ? quoteTxt(value) : value }],
  };
}

/** A value as quoted strings of at most 255 octets. */
export function quoteTxt(value: string): string {
  return splitRecordValue(value)
    .map((text) => `"${text.replace(/["\\]/g, '\\$&').replace(/[^ -~]/g, octal)}"`)
    .join(' ');
}

/** The reverse of `quoteTxt`, however the strings are split; undefined for what is no TXT value. */
export function unquoteTxt(written: string): string | undefined {
  const pieces = written.match(/"(?:[^"\\]|\\[\s\S])*"|\S+/g) ?? [];
  if (pieces.length === 0) return undefined;
  return pieces
    .map((piece) => (piece.startsWith('"') ? piece.slice(1, -1) : piece))
    .map((text) =>
      text.replace(/\\([0-7]{3})|\\([\s\S])/g, (_all, code: string | undefined, plain: string) =>
        code === undefined ? plain : String.fromCharCode(Number.parseInt(code, 8)),
      ),
    )
    .join('');
}

/** What of the sets at one name can be compared with ours. */
export function standingOf(sets: readonly ResourceRecordSet[]): Standing[] {
  return sets.flatMap((set): Standing[] => {
    if (set.Type !== 'TXT' && set.Type !== 'CNAME') return [];
    const written = (set.ResourceRecords ?? []).map(({ Value }) => Value ?? '');
    const values =
      set.Type === 'TXT' ? written.map((value) => unquoteTxt(value) ?? value) : written;
    // Weighted and other routed sets, and aliases, are none of ours.
    const isRouted = set.SetIdentifier !== undefined || set.AliasTarget !== undefined;
    return [{ type: set.Type, values: isRouted ? [...values, '(routed)'] : values, ttlS: set.TTL }];
  });
}

function octal(character: string): string {
  return `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`;
}
