import { printable } from '../base/printable.ts';
import { fieldsNamed, fieldValue, type MessageHeader } from './header-fields.ts';
import { type HeaderMailbox, parseMailboxes } from './mailboxes.ts';
import { type LocalReply, localReply } from './reply.ts';

/** Who wrote a message, as far as signing is concerned. */
export type Author =
  | {
      readonly kind: 'author';
      /** The domain that should sign: A-labels, lower case. */
      readonly domain: string;
      /** The mailboxes of From, at least one. */
      readonly from: readonly HeaderMailbox[];
      /** Which field decided. */
      readonly decidedBy: 'from' | 'sender';
    }
  /** No domain can be told: 550 5.6.0 with rule `header.from`. */
  | { readonly kind: 'refused'; readonly reply: LocalReply };

/**
 * Tells which domain signs: that of the mailbox in From. With several mailboxes there, a Sender field
 * is required (RFC 5322 section 3.6.2); its domain signs if it is among From's, else the first of
 * From. Receivers and DMARC take a message with no From or several for a forgery (RFC 7489 section
 * 6.6.1), so it is refused here, where its sender still hears of it.
 */
export function findAuthor(header: MessageHeader): Author {
  const [field, second] = fieldsNamed(header, 'from');
  if (field === undefined) return refused('The message has no From field');
  if (second !== undefined) return refused('The message has more than one From field');
  const { mailboxes: from, malformed } = parseMailboxes(fieldValue(field));
  const [first] = from;
  if (malformed) {
    const value = printable(fieldValue(field), 60);
    return refused(`An address in the From field cannot be read: ${value}`);
  }
  if (first === undefined) return refused('The From field has no address');
  if (from.length === 1) return { kind: 'author', domain: first.domain, from, decidedBy: 'from' };
  return authorOfSeveral(header, from, first);
}

function authorOfSeveral(
  header: MessageHeader,
  from: readonly HeaderMailbox[],
  first: HeaderMailbox,
): Author {
  const [field, second] = fieldsNamed(header, 'sender');
  if (field === undefined) {
    return refused('From has several addresses, so a Sender field is required (RFC 5322 3.6.2)');
  }
  const { mailboxes, malformed } = parseMailboxes(fieldValue(field));
  const [sender, more] = mailboxes;
  if (second !== undefined || sender === undefined || more !== undefined || malformed) {
    return refused('From has several addresses, and Sender is not one address (RFC 5322 3.6.2)');
  }
  return from.some((mailbox) => mailbox.domain === sender.domain)
    ? { kind: 'author', domain: sender.domain, from, decidedBy: 'sender' }
    : { kind: 'author', domain: first.domain, from, decidedBy: 'from' };
}

function refused(text: string): Author {
  return { kind: 'refused', reply: localReply(550, '5.6.0', 'header.from', text) };
}
