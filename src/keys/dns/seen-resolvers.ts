import { interpretReply } from '../../base/dns-answer.ts';
import type { DnsReply, Question } from '../../base/dns-message.ts';
import type { DnsServer } from '../../base/dns-transport.ts';
import { printable } from '../../base/printable.ts';
import type { AuthorityQueries } from './authority-queries.ts';
import { type ExpectedRecord, judgeRecords } from './judge-record.ts';
import type { ServerAnswer } from './seen-report.ts';

export interface ResolverStatement {
  readonly answer: ServerAnswer;
  /** Waiting may cure what is wrong. */
  readonly mayPass: boolean;
  /** Milliseconds for which it keeps an answer that is not the expected one. */
  readonly keepsMs: number;
  /** It validates DNSSEC, as far as it can be told. */
  readonly validates: boolean;
}

/**
 * Asks a resolver, once all authoritative servers agree: asked earlier, it would remember that there
 * is no such record. Never rejects.
 */
export async function askResolver(
  resolver: DnsServer,
  name: string,
  expected: ExpectedRecord,
  queries: AuthorityQueries,
): Promise<ResolverStatement> {
  const question: Question = { name, type: 'TXT' };
  const asked = await queries.askResolver(resolver, question, 'authenticated');
  if (asked.kind === 'unreachable') {
    return stated(resolver, 'unreachable', asked.detail, { mayPass: true });
  }
  const { reply } = asked;
  if (reply.rcode !== 'NOERROR' && reply.rcode !== 'NXDOMAIN') {
    return await explainRefusal(resolver, question, reply, queries);
  }
  const validates = reply.authenticated || (await validatesRoot(resolver, queries));
  const meaning = interpretReply(reply, question, new Set([name]));
  switch (meaning.kind) {
    case 'alias':
    case 'cname-loop':
    case 'cname-chain-too-long':
      return stated(resolver, 'lame', 'it does not follow the CNAME records', { mayPass: true });
    case 'nodata':
    case 'nxdomain':
    case 'records':
      break;
  }
  const texts =
    meaning.kind === 'records'
      ? reply.answers.flatMap((record) =>
          record.type === 'TXT' && record.name === meaning.name
            ? [Buffer.concat(record.data).toString('latin1')]
            : [],
        )
      : [];
  const { verdict, detail } = judgeRecords(expected, texts);
  const note = reply.authenticated ? ', validated by DNSSEC' : '';
  const cached = verdict === 'seen' ? '' : ` (it keeps this answer for ${meaning.ttlS} s)`;
  return stated(resolver, verdict, `${detail}${note}${cached}`, {
    mayPass: true,
    keepsMs: verdict === 'seen' ? 0 : meaning.ttlS * 1000,
    validates,
    found: texts.slice(0, 5).map((text) => printable(text, 1500)),
  });
}

/** SERVFAIL that goes away when validation is switched off means broken DNSSEC. */
async function explainRefusal(
  resolver: DnsServer,
  question: Question,
  { rcode }: DnsReply,
  queries: AuthorityQueries,
): Promise<ResolverStatement> {
  const unchecked = await queries.askResolver(resolver, question, 'unchecked');
  const isBogus =
    rcode === 'SERVFAIL' &&
    unchecked.kind === 'reply' &&
    (unchecked.reply.rcode === 'NOERROR' || unchecked.reply.rcode === 'NXDOMAIN');
  return isBogus
    ? stated(resolver, 'mismatch', 'the DNSSEC signatures of the answer do not verify', {
        mayPass: false,
        validates: true,
      })
    : stated(resolver, 'unreachable', `it answers ${rcode}`, { mayPass: true });
}

/** The root is signed: who validates vouches for it. It is in every resolver's cache. */
async function validatesRoot(resolver: DnsServer, queries: AuthorityQueries): Promise<boolean> {
  const asked = await queries.askResolver(resolver, { name: '', type: 'NS' }, 'authenticated');
  return asked.kind === 'reply' && asked.reply.authenticated;
}

function stated(
  resolver: DnsServer,
  verdict: ServerAnswer['verdict'],
  detail: string,
  more: {
    mayPass: boolean;
    keepsMs?: number;
    validates?: boolean;
    found?: readonly string[];
  },
): ResolverStatement {
  const { mayPass, keepsMs = 0, validates = false, found = [] } = more;
  const { address } = resolver;
  const answer = { zone: '', host: 'resolver', address, verdict, detail, found };
  return { answer: { ...answer, detail: printable(detail, 500) }, mayPass, keepsMs, validates };
}
