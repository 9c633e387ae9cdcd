import type { Client } from './client.ts';
import type { Mailbox } from './envelope.ts';
import { foldWords } from './folding.ts';
import { fieldOf, type HeaderField } from './header-fields.ts';

/** What a Received field tells (RFC 5321 section 4.4). */
export interface ReceivedFacts {
  readonly client: Client;
  /** Leaves the client out: its address and the name it gave. */
  readonly hideClient: boolean;
  /** Our name, an FQDN. */
  readonly by: string;
  /** The transaction's id. */
  readonly id: string;
  /** MAIL had SMTPUTF8 (RFC 6531 section 3.7.3: `with UTF8SMTP…`, and UTF-8 may stand in `for`). */
  readonly smtpUtf8: boolean;
  /** All recipients; only a single one is named, since others must not learn of each other. */
  readonly recipients: readonly Mailbox[];
  /** Wall-clock time in milliseconds since the epoch. */
  readonly wallMs: number;
}

/** Makes the trace field. What the client chose is checked or left out, so it cannot forge a line. */
export function receivedField(facts: ReceivedFacts): HeaderField {
  const words: string[] = [];
  if (!facts.hideClient) words.push('from', ...fromDomain(facts.client));
  words.push('by', facts.by, 'with', protocolName(facts));
  if (facts.client.tls !== undefined) {
    const { protocol, cipher } = facts.client.tls;
    words.push(`(${atomOr(protocol, 'TLS')}`, `cipher ${atomOr(cipher, 'unknown')})`);
  }
  words.push('id', atomOr(facts.id, 'unknown'));
  const [recipient, other] = facts.recipients;
  if (recipient !== undefined && other === undefined && mayBeNamed(recipient, facts.smtpUtf8)) {
    words.push('for', `<${recipient.address}>`);
  }
  const last = words.pop() ?? '';
  words.push(`${last};`, formatDate(facts.wallMs));
  return fieldOf('Received', foldWords(words, 'Received: '.length));
}

/** `name ([address])`; the name is what HELO or EHLO gave, the address is what we saw. */
function fromDomain(client: Client): string[] {
  const literal = client.address.includes(':')
    ? `[IPv6:${client.address.replace(/[^0-9a-f:.]/gi, '')}]`
    : `[${client.address.replace(/[^0-9.]/g, '')}]`;
  return [HELO_NAME.test(client.heloName) ? client.heloName : literal, `(${literal})`];
}

const HELO_NAME = /^(?:[a-z0-9_](?:[a-z0-9_.-]{0,253}[a-z0-9_])?|\[[a-z0-9.:-]{1,64}\])$/i;

/** RFC 3848 and RFC 6531 section 4.3. */
function protocolName({ client, smtpUtf8 }: ReceivedFacts): string {
  const name = atomOr(client.protocol, 'SMTP');
  return smtpUtf8 ? name.replace(/^ESMTP/, 'UTF8SMTP') : name;
}

function atomOr(text: string, otherwise: string): string {
  return /^[A-Za-z0-9._+-]{1,100}$/.test(text) ? text : otherwise;
}

/** Longer addresses would make a line that later hops may fold. */
const MAX_NAMED_CHARACTERS = 320;
/** Quoted local parts are left out too: what is read in two ways has no place in a trace. */
const NAMEABLE_ASCII = /^[^\s\0-\x20"(),;<>\\\x7f-\uffff]+$/;
const NAMEABLE_UTF8 = /^[^\s\0-\x20"(),;<>\\\x7f-\xa0\ufffd]+$/;

function mayBeNamed({ address }: Mailbox, smtpUtf8: boolean): boolean {
  if (address.length > MAX_NAMED_CHARACTERS) return false;
  return (smtpUtf8 ? NAMEABLE_UTF8 : NAMEABLE_ASCII).test(address);
}

/**
 * Date and time as in a header field (RFC 5322 section 3.3), always in UTC.
 *
 * @param wallMs milliseconds since the epoch
 */
export function formatDate(wallMs: number): string {
  const second = Math.floor(wallMs / 1000);
  if (second !== formatted.second) {
    const text = new Date(wallMs).toUTCString().replace('GMT', '+0000');
    formatted = { second, text };
  }
  return formatted.text;
}

/** Under load many messages share a second. */
let formatted = { second: Number.NaN, text: '' };

/** A Date field, for a message that has none. @param wallMs milliseconds since the epoch */
export function dateField(wallMs: number): HeaderField {
  return fieldOf('Date', formatDate(wallMs));
}

/**
 * A Message-ID field, for a message that has none (RFC 5322 section 3.6.4).
 *
 * @param id the transaction's id, unique on this machine
 * @param by our name, unique in the world
 * @param wallMs milliseconds since the epoch, so that an id used again after years differs
 */
export function messageIdField(id: string, by: string, wallMs: number): HeaderField {
  return fieldOf('Message-ID', `<${wallMs.toString(36)}.${atomOr(id, 'unknown')}@${by}>`);
}
