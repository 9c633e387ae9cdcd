import { printable } from '../../base/printable.ts';
import { recordName } from '../key-name.ts';
import {
  compareRecord,
  type PublishedKey,
  parseKeyRecord,
  revokedRecordValue,
} from '../key-record.ts';
import type { TxtAnswer, TxtLookup } from '../txt-lookup.ts';

/** What is to be seen in DNS. */
export interface SeenExpectation {
  readonly domain: string;
  readonly selector: string;
  readonly record:
    | { readonly kind: 'key'; readonly key: PublishedKey }
    | { readonly kind: 'revoked'; readonly key: PublishedKey }
    | { readonly kind: 'none' };
}

export interface ServerAnswer {
  readonly zone: string;
  readonly host: string;
  readonly address: string;
  readonly verdict: 'seen' | 'absent' | 'mismatch' | 'unreachable' | 'lame' | 'ignored';
  readonly detail: string;
  readonly found: readonly string[];
}

export interface SeenReport {
  readonly verdict: 'seen' | 'not-yet' | 'conflict';
  readonly name: string;
  readonly servers: readonly ServerAnswer[];
  readonly resolvers: readonly ServerAnswer[];
  readonly warnings: readonly string[];
  /** How long caches may still hold an older answer, in milliseconds. */
  readonly settleMs: number;
  readonly summary: string;
}

/** Asks the configured resolvers. Never throws for what DNS says. */
export async function checkSeen(
  expectation: SeenExpectation,
  options: { readonly lookup: TxtLookup },
): Promise<SeenReport> {
  const name = recordName(expectation.selector, expectation.domain);
  const answer = await options.lookup.txt(name);
  const { verdict, detail, warnings } = judge(expectation, answer);
  const found =
    answer.kind === 'found' ? answer.texts.slice(0, 5).map((text) => printable(text, 1500)) : [];
  const server = { zone: '', host: 'resolver', address: 'as configured', verdict, detail, found };
  return {
    verdict: verdict === 'seen' ? 'seen' : verdict === 'mismatch' ? 'conflict' : 'not-yet',
    name,
    servers: [server],
    resolvers: [],
    warnings,
    settleMs: 0,
    summary: detail,
  };
}

function judge(
  { record }: SeenExpectation,
  answer: TxtAnswer,
): Pick<ServerAnswer, 'detail'> & {
  verdict: 'seen' | 'absent' | 'mismatch' | 'unreachable';
  warnings: readonly string[];
} {
  if (answer.kind === 'failed') {
    const detail = `DNS gave no answer: ${printable(answer.reason, 300)}`;
    return { verdict: 'unreachable', detail, warnings: [] };
  }
  if (answer.kind === 'absent') {
    const verdict = record.kind === 'none' ? 'seen' : 'absent';
    return { verdict, detail: 'there is no TXT record', warnings: [] };
  }
  const mismatch = (detail: string) => ({ verdict: 'mismatch' as const, detail, warnings: [] });
  const [text, ...others] = answer.texts;
  if (text === undefined || others.length > 0) {
    return mismatch(`there are ${answer.texts.length} TXT records; there must be exactly one`);
  }
  if (record.kind === 'none') return { ...mismatch('the record is still there') };
  if (record.kind === 'revoked') {
    const isRevoked = text === revokedRecordValue(record.key);
    if (isRevoked) return { verdict: 'seen', detail: 'p= is empty', warnings: [] };
    return { verdict: 'absent', detail: 'the record is not withdrawn yet', warnings: [] };
  }
  const parsed = parseKeyRecord(text);
  if (parsed.kind === 'malformed') return mismatch(`it is no key record: ${parsed.reason}`);
  const { mismatches, warnings } = compareRecord(parsed.record, record.key);
  if (mismatches.length > 0) return mismatch(printable(mismatches.join('; '), 400));
  return { verdict: 'seen', detail: 'seen', warnings };
}
