import { printable } from '../../base/printable.ts';
import { compareRecord, type PublishedKey, parseKeyRecord } from '../key-record.ts';

/** What shall stand in DNS under the name of a key record. */
export type ExpectedRecord =
  | { readonly kind: 'key'; readonly key: PublishedKey }
  | { readonly kind: 'revoked'; readonly key: PublishedKey }
  | { readonly kind: 'none' };

/** What one answer is worth. */
export interface Judgement {
  readonly verdict: 'seen' | 'absent' | 'mismatch';
  readonly detail: string;
  /** Waiting may cure it: another server may only be late. */
  readonly mayPass: boolean;
  readonly warnings: readonly string[];
}

const SEEN = { verdict: 'seen', mayPass: true, warnings: [] } as const;

/**
 * Judges the TXT records of one answer, each with its strings joined; none: there is no such
 * record.
 */
export function judgeRecords(expected: ExpectedRecord, texts: readonly string[]): Judgement {
  const [text, ...others] = texts;
  if (text === undefined) {
    if (expected.kind === 'none') return { ...SEEN, detail: 'there is no TXT record' };
    return { ...SEEN, verdict: 'absent', detail: 'there is no TXT record' };
  }
  if (expected.kind === 'none') {
    const isKeyRecord = parseKeyRecord(text).kind === 'record' && others.length === 0;
    const detail = isKeyRecord ? 'the record still stands there' : 'another record stands there';
    return mismatch(detail, isKeyRecord);
  }
  if (others.length > 0) {
    // RFC 6376 section 3.6.2.2: what verifiers do then is undefined.
    return mismatch(`there are ${texts.length} TXT records; there must be exactly one`, false);
  }
  const parsed = parseKeyRecord(text);
  if (parsed.kind === 'malformed') return mismatch(`it is no key record: ${parsed.reason}`, false);
  const { mismatches, warnings } = compareRecord(parsed.record, expected.key);
  if (expected.kind === 'key') {
    if (mismatches.length > 0) return mismatch(printable(mismatches.join('; '), 300), false);
    return { ...SEEN, detail: 'as it should be', warnings };
  }
  if (parsed.record.publicKey === '') return { ...SEEN, detail: 'revoked, as it should be' };
  return mismatches.length === 0
    ? mismatch('the key still stands there', true)
    : mismatch(printable(mismatches.join('; '), 300), false);
}

function mismatch(detail: string, mayPass: boolean): Judgement {
  return { verdict: 'mismatch', detail, mayPass, warnings: [] };
}
