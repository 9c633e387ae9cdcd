import type { ResourceRecord } from 'dns-packet';
import type { RecordType, SoaData } from '../../src/base/resolver.ts';

/** Values of a type as tests write them. */
interface Values {
  readonly A: readonly string[];
  readonly AAAA: readonly string[];
  /** `[preference, exchange]`; the exchange `.` is a null MX. */
  readonly MX: readonly (readonly [number, string])[];
  /** A string is one character-string (at most 255 octets); a list is one record of several. */
  readonly TXT: readonly (string | readonly string[])[];
  readonly CNAME: readonly string[];
  readonly NS: readonly string[];
  readonly SOA: readonly SoaData[];
}

export type RecordValues<Type extends RecordType> = Values[Type];

/** The records of one name. */
export type ZoneRecords = { readonly [Type in RecordType]?: Values[Type] };

export function asResourceRecords<Type extends RecordType>(
  name: string,
  type: Type,
  values: RecordValues<Type>,
  ttlS: number,
): ResourceRecord[] {
  return values.map((value) => ({ name, type, ttl: ttlS, data: asData(value) }));
}

function asData(value: Values[RecordType][number]): unknown {
  if (!Array.isArray(value)) return value;
  if (typeof value[0] === 'number') return { preference: value[0], exchange: value[1] };
  return value.map((text) => Buffer.from(String(text)));
}
