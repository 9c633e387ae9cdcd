import { printable } from '../base/printable.ts';
import { recordName } from './key-name.ts';
import { compareRecord, parseKeyRecord, recordValue } from './key-record.ts';
import type { ManifestKey } from './manifest.ts';
import type { TxtLookup } from './txt-lookup.ts';

/** What DNS says about a key, beside what it should say. */
export interface RecordCheck {
  readonly selector: string;
  /** Name of the TXT record. */
  readonly name: string;
  /** `seen`: verifiers will find the key; `unknown`: DNS gave no answer now. */
  readonly verdict: 'seen' | 'absent' | 'mismatch' | 'unknown';
  /** Why it is not `seen`; empty when it is. */
  readonly reasons: readonly string[];
  readonly warnings: readonly string[];
  readonly expected: string;
  /** The texts of the TXT records found, made printable. */
  readonly found: readonly string[];
}

const MAX_SHOWN_CHARACTERS = 1500;
const MAX_SHOWN_RECORDS = 5;

/** Looks a key's record up and compares it. Never throws for what DNS says. */
export async function checkRecord(
  domain: string,
  key: ManifestKey,
  lookup: TxtLookup,
): Promise<RecordCheck> {
  const name = recordName(key.selector, domain);
  const base = { selector: key.selector, name, expected: recordValue(key), warnings: [] };
  const answer = await lookup.txt(name);
  if (answer.kind === 'failed') {
    const reasons = [`DNS gave no answer: ${printable(answer.reason, 300)}`];
    return { ...base, verdict: 'unknown', reasons, found: [] };
  }
  if (answer.kind === 'absent') {
    return { ...base, verdict: 'absent', reasons: ['there is no TXT record'], found: [] };
  }
  const found = answer.texts
    .slice(0, MAX_SHOWN_RECORDS)
    .map((text) => printable(text, MAX_SHOWN_CHARACTERS));
  const mismatch = (reasons: readonly string[]): RecordCheck => ({
    ...base,
    verdict: 'mismatch',
    reasons,
    found,
  });
  const [text, ...others] = answer.texts;
  if (text === undefined || others.length > 0) {
    // RFC 6376 section 3.6.2.2: what verifiers do then is undefined.
    return mismatch([`there are ${answer.texts.length} TXT records; there must be exactly one`]);
  }
  const parsed = parseKeyRecord(text);
  if (parsed.kind === 'malformed') return mismatch([`it is no key record: ${parsed.reason}`]);
  const { mismatches, warnings } = compareRecord(parsed.record, key);
  if (mismatches.length > 0) return mismatch(mismatches.map((reason) => printable(reason, 200)));
  return { ...base, verdict: 'seen', reasons: [], warnings, found };
}
