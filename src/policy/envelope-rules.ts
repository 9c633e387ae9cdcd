import type { Client } from '../mail/client.ts';
import type { Mailbox, MailParameters } from '../mail/envelope.ts';
import { localReply } from '../mail/reply.ts';
import type { Rule } from './rule.ts';

/** What is known at MAIL. */
export interface MailFacts {
  readonly client: Client;
  readonly parameters: MailParameters;
  /** A keyring fault that holds for every domain. */
  readonly keyringFault: string | undefined;
  readonly maxMessageBytes: number;
}

/** What is known at RCPT. */
export interface RcptFacts {
  readonly recipient: Mailbox;
  /** `relay.allowAddressLiterals`. */
  readonly allowAddressLiterals: boolean;
}

/** Asked at MAIL, in this order. */
export const mailRules: readonly Rule<MailFacts>[] = [
  {
    name: 'client.allowed',
    purpose: 'only allowed clients may send: never an open relay',
    check: ({ client }) =>
      client.allowedBy === undefined
        ? localReply(
            530,
            '5.7.0',
            'client.allowed',
            `Authentication required: ${client.address} is not in clients.allow`,
          )
        : undefined,
  },
  {
    name: 'mail.size',
    purpose:
      'a declared SIZE over limits.messageBytes is refused before the content comes (RFC 1870)',
    check: ({ parameters, maxMessageBytes }) =>
      (parameters.sizeBytes ?? 0) > maxMessageBytes
        ? localReply(
            552,
            '5.3.4',
            'mail.size',
            `Message of ${parameters.sizeBytes} octets is over the limit of ${maxMessageBytes}`,
          )
        : undefined,
  },
  {
    name: 'mail.keyring',
    purpose: 'while no domain can be signed, mail waits at the client; it never leaves unsigned',
    check: ({ keyringFault }) =>
      keyringFault === undefined
        ? undefined
        : localReply(451, '4.7.5', 'mail.keyring', 'Signing is not possible now, try again later'),
  },
];

/** Asked at RCPT, before a leg hears of the recipient. */
export const rcptRules: readonly Rule<RcptFacts>[] = [
  {
    name: 'rcpt.domain',
    purpose: 'a relay has no mailboxes of its own, so a recipient needs a domain',
    check: ({ recipient }) =>
      recipient.domain === ''
        ? localReply(
            550,
            '5.1.2',
            'rcpt.domain',
            `<${recipient.address}> has no domain to relay to`,
          )
        : undefined,
  },
  {
    name: 'rcpt.address-literal',
    purpose: 'a literal names a host past all routing, a smarthost included; refused by default',
    check: ({ recipient, allowAddressLiterals }) =>
      recipient.domain.startsWith('[') && !allowAddressLiterals
        ? localReply(
            550,
            '5.4.4',
            'rcpt.address-literal',
            `Mail to address literals such as ${recipient.domain} is not relayed`,
          )
        : undefined,
  },
];
