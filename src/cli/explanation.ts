import type { Config } from '../config/config.ts';
import { findAuthor } from '../mail/author.ts';
import { DEFAULT_MAX_FIELDS, HeaderCollector } from '../mail/header-collector.ts';
import { fieldsNamed, type HeaderField, type MessageHeader } from '../mail/header-fields.ts';
import { dateField, messageIdField } from '../mail/received.ts';
import type { LocalReply } from '../mail/reply.ts';
import type { SigningKeyring } from '../mail/signer.ts';
import { contentRules } from '../policy/content-rules.ts';
import { judge } from '../policy/rule.ts';
import { HeaderSelection } from '../sign/header-selection.ts';
import { planSigning } from '../sign/signing-plan.ts';
import type { PlainMessage } from './plain-message.ts';

/** The settings that decide about signatures. */
export type ExplainSettings = Pick<Config, 'signing' | 'limits' | 'content' | 'server'>;

/** What would happen to a message, and why. */
export interface Explanation {
  readonly verdict: 'sign' | 'unsigned' | 'refuse' | 'defer';
  /** One sentence for the verdict. */
  readonly why: string;
  /** The reply at the final dot where it is no success, e.g. `550 5.7.1 No DKIM key …`. */
  readonly reply: string | undefined;
  readonly author: ExplainedAuthor | undefined;
  /** One for each signature; empty unless the verdict is `sign`. */
  readonly signatures: readonly ExplainedSignature[];
  /** Every field name that is present or signed. */
  readonly fields: readonly ExplainedField[];
  /** What should be known besides. */
  readonly notes: readonly string[];
}

export interface ExplainedAuthor {
  readonly addresses: readonly string[];
  readonly domain: string;
  readonly decidedBy: 'from' | 'sender';
}

export interface ExplainedSignature {
  readonly d: string;
  readonly s: string;
  readonly a: string;
  readonly c: string;
}

export interface ExplainedField {
  readonly name: string;
  readonly present: number;
  /** How often the name stands in `h=`. */
  readonly signed: number;
}

/**
 * Goes the way of a message up to its signatures, with the parts that the relay itself uses.
 *
 * @param nullReversePath true for a bounce
 * @param nowMs wall-clock time, for fields that would be added
 */
export function explainMessage(
  message: PlainMessage,
  nullReversePath: boolean,
  settings: ExplainSettings,
  keyring: SigningKeyring,
  nowMs: number,
): Explanation {
  const header = readHeader(message, settings);
  if ('code' in header) return refused(header, undefined, []);
  const author = findAuthor(header);
  const receivedFields = fieldsNamed(header, 'received').length;
  const { strayLineEnds, longLines } = settings.content;
  const policy = { strayLineEnds, longLines, maxHops: settings.limits.hops };
  const notes = notesOf(message, header);
  const broken = judge(contentRules, { content: message.facts, receivedFields, policy });
  if (broken !== undefined) return refused(broken, undefined, notes);
  if (author.kind === 'refused') return refused(author.reply, undefined, notes);

  const { domain, decidedBy, from } = author;
  const addresses = from.map((mailbox) => `${mailbox.localPart}@${mailbox.domain}`);
  const explained = { addresses, domain, decidedBy };
  const plan = planSigning({ authorDomain: domain, nullReversePath }, keyring, settings.signing);
  if (plan.kind === 'refuse') return refused(plan.reply, explained, notes);
  if (plan.kind === 'defer') {
    return { ...refused(plan.reply, explained, notes), verdict: 'defer', why: plan.reason };
  }
  if (plan.kind === 'unsigned') {
    return { ...refusedBy(plan.why, explained, notes), verdict: 'unsigned' };
  }
  const signatures = plan.keys.map((key) => ({
    d: key.domain,
    s: key.selector,
    a: key.signer.algorithm,
    c: settings.signing.canonicalization,
  }));
  const added = addedFields(header, settings, nowMs);
  return {
    verdict: 'sign',
    why: whySigned(domain, signatures[0]?.d ?? domain),
    reply: undefined,
    author: explained,
    signatures,
    fields: explainFields([...added, ...header.fields], settings),
    notes: [...notes, ...added.map((field) => `A ${field.name} field would be added`)],
  };
}

function readHeader(
  message: PlainMessage,
  { limits }: ExplainSettings,
): MessageHeader | LocalReply {
  const collector = new HeaderCollector({
    maxHeaderBytes: limits.headerBytes,
    maxFields: DEFAULT_MAX_FIELDS,
  });
  const pushed = collector.push(message.octets);
  const progress = pushed.kind === 'more' ? collector.end() : pushed;
  return progress.kind === 'refused' ? progress.reply : progress.header;
}

function refused(
  reply: LocalReply,
  author: ExplainedAuthor | undefined,
  notes: readonly string[],
): Explanation {
  const text = reply.lines.join(' ');
  const whole = `${reply.code} ${reply.enhanced} ${text} [waxseal ${reply.rule}]`;
  return { ...refusedBy(text, author, notes), reply: whole };
}

function refusedBy(
  why: string,
  author: ExplainedAuthor | undefined,
  notes: readonly string[],
): Explanation {
  return { verdict: 'refuse', why, reply: undefined, author, signatures: [], fields: [], notes };
}

function whySigned(authorDomain: string, signingDomain: string): string {
  if (signingDomain === authorDomain) return `${authorDomain} has active keys`;
  return authorDomain.endsWith(`.${signingDomain}`)
    ? `${authorDomain} has no keys, and ${signingDomain} signs for its subdomains`
    : `${authorDomain} has no keys, and ${signingDomain} is the fallback of signing.unmatched`;
}

function addedFields(
  header: MessageHeader,
  { content, server }: ExplainSettings,
  nowMs: number,
): HeaderField[] {
  const lacks = (name: string): boolean => fieldsNamed(header, name).length === 0;
  return [
    ...(content.addDate && lacks('date') ? [dateField(nowMs)] : []),
    ...(content.addMessageId && lacks('message-id')
      ? [messageIdField('explain', server.name, nowMs)]
      : []),
  ];
}

function explainFields(
  fields: readonly HeaderField[],
  { signing }: ExplainSettings,
): readonly ExplainedField[] {
  const { names } = new HeaderSelection(signing.headers).select(fields);
  const count = (all: readonly string[], name: string): number =>
    all.filter((other) => other === name).length;
  const present = fields.map((field) => field.name);
  return [...new Set([...names, ...present])].map((name) => ({
    name,
    present: count(present, name),
    signed: count(names, name),
  }));
}

function notesOf(message: PlainMessage, header: MessageHeader): string[] {
  const notes = [...message.notes];
  if (header.separator === 'added') {
    notes.push(
      'A line that is no header field ends the header: what follows is taken for the body',
    );
  }
  const signatures = fieldsNamed(header, 'dkim-signature').length;
  if (signatures > 0) notes.push(`Signatures that are there already stay: ${signatures}`);
  if (message.facts.longestLine > 998) {
    notes.push('A line is over 998 octets: a later server may fold it and break the signature');
  }
  return notes;
}
