import { isUtf8 } from 'node:buffer';
import { isIPv4, isIPv6 } from 'node:net';
import { domainToASCII, domainToUnicode } from 'node:url';
import type { Mailbox } from './envelope.ts';
import { type LocalReply, localReply } from './reply.ts';

/*
 * Paths of MAIL and RCPT (RFC 5321 section 4.1.2, RFC 6531 section 3.3). The one rule behind all
 * decisions here: the domain that is checked, routed to and shown is exactly the domain that stands
 * in the address as it is passed on.
 *
 * - A source route `<@a,@b:user@c>` is accepted and dropped (RFC 5321 appendix C).
 * - `user%b@c` and `b!user@c` are local parts like others: only the host of `c` may read them, so
 *   they are passed on and never interpreted.
 * - Dots may stand anywhere in a local part, since real mailboxes break that rule; the MX decides.
 * - A domain is letters, digits and hyphens; a label outside ASCII must be its own normal form
 *   (RFC 5891), so that no mapping turns it into another name than the one that was written.
 */

/** Path without angle brackets; RFC 5321 section 4.5.3.1.3 has 256 with them. */
const MAX_ADDRESS_OCTETS = 254;
const MAX_DOMAIN_OCTETS = 253;
const MAX_LABEL_OCTETS = 63;
const LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const ATOM_TEXT = /^(?:[a-z0-9!#$%&'*+/=?^_`{|}~.-]|[^\0-\x7f])+$/i;
const QUOTED = /^"(?:[ !#-[\]-~]|\\[ -~]|[^\0-\x7f])*"$/;
const SOURCE_ROUTE = /^@[^\s,:@<>"]+(?:,@[^\s,:@<>"]+)*:/;
/** Outside ASCII, but never part of a name: controls, separators, invisible and bidi marks. */
const UNSAFE_UNICODE =
  /[\u0080-\u00a0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u2069\ufeff\ufff0-\uffff]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
const CONTROL = /[\u0000-\u001f\u007f]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the range is ASCII as a whole
const NOT_ASCII = /[^\u0000-\u007f]/;

/** Which of the two paths; they are refused with different enhanced codes (RFC 3463). */
export type PathKind = 'reverse' | 'forward';

/**
 * Decodes a command's argument.
 *
 * @returns the text, or 501 for control characters and octets that are not UTF-8
 */
export function decodeArgument(octets: Buffer): string | LocalReply {
  const text = octets.toString(isUtf8(octets) ? 'utf8' : 'latin1');
  if (CONTROL.test(text)) {
    return localReply(501, '5.5.4', 'command.octets', 'Control characters are not allowed here');
  }
  if (!NOT_ASCII.test(text)) return text;
  if (!isUtf8(octets) || UNSAFE_UNICODE.test(text)) {
    return localReply(501, '5.5.4', 'command.octets', 'Octets outside ASCII must be plain UTF-8');
  }
  return text;
}

/**
 * Splits `<path> parameters`.
 *
 * @param text what stands after `FROM:` or `TO:`
 * @returns the path without its angle brackets, and what follows; undefined if there is no path
 */
export function splitPath(text: string): { path: string; rest: string } | undefined {
  const start = text.length - text.trimStart().length;
  if (text[start] !== '<') return undefined;
  let quoted = false;
  for (let at = start + 1; at < text.length; at += 1) {
    const character = text[at];
    if (quoted && character === '\\') at += 1;
    else if (character === '"') quoted = !quoted;
    else if (character === '>' && !quoted) {
      return { path: text.slice(start + 1, at), rest: text.slice(at + 1) };
    }
  }
  return undefined;
}

/**
 * Parses what stands between the angle brackets; not for the null reverse-path.
 *
 * @returns the mailbox, or the refusal: 501 5.1.7 (reverse) or 5.1.3 (forward)
 */
export function parseMailbox(path: string, kind: PathKind): Mailbox | LocalReply {
  const address = path.replace(SOURCE_ROUTE, '');
  if (kind === 'forward' && address.toLowerCase() === 'postmaster') {
    return { address, localPart: address, domain: '', needsSmtpUtf8: false };
  }
  const at = address.lastIndexOf('@');
  const localPart = address.slice(0, Math.max(at, 0));
  if (at <= 0 || !(ATOM_TEXT.test(localPart) || QUOTED.test(localPart))) {
    return refusal(kind, 'The address is not of the form <local-part@domain>');
  }
  if (Buffer.byteLength(address) > MAX_ADDRESS_OCTETS) {
    return refusal(kind, `The address is longer than ${MAX_ADDRESS_OCTETS} octets`);
  }
  const domain = canonicalDomain(address.slice(at + 1));
  if (domain === undefined) return refusal(kind, 'The domain of the address is not valid');
  return { address, localPart, domain, needsSmtpUtf8: NOT_ASCII.test(address) };
}

function refusal(kind: PathKind, text: string): LocalReply {
  return localReply(501, kind === 'reverse' ? '5.1.7' : '5.1.3', 'address.syntax', text);
}

/**
 * A domain or address literal in the one form that routing, keys and policy compare.
 *
 * @returns lower-case A-labels, `[192.0.2.1]` or `[IPv6:2001:db8::1]`; undefined if not valid
 */
export function canonicalDomain(written: string): string | undefined {
  if (written.startsWith('[')) return canonicalLiteral(written);
  const labels = written.split('.').map(canonicalLabel);
  if (labels.includes(undefined)) return undefined;
  const domain = labels.join('.');
  // A name that looks like a bare IPv4 address would be taken for one further on.
  const numeric = /^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '');
  return numeric || domain.length > MAX_DOMAIN_OCTETS ? undefined : domain;
}

function canonicalLabel(written: string): string | undefined {
  const label = NOT_ASCII.test(written) ? aLabel(written) : written.toLowerCase();
  return label !== undefined && label.length <= MAX_LABEL_OCTETS && LABEL.test(label)
    ? label
    : undefined;
}

/** node:url maps and repairs much, so only what maps to itself counts. */
function aLabel(written: string): string | undefined {
  const label = domainToASCII(written);
  if (!label.startsWith('xn--') || label.includes('.')) return undefined;
  return domainToUnicode(label) === written.normalize('NFC').toLowerCase() ? label : undefined;
}

function canonicalLiteral(written: string): string | undefined {
  if (!written.endsWith(']')) return undefined;
  const content = written.slice(1, -1);
  if (isIPv4(content)) return `[${content}]`;
  if (!/^ipv6:[0-9a-f:.]+$/i.test(content)) return undefined;
  const address = content.slice(5).toLowerCase();
  return isIPv6(address) ? `[IPv6:${address}]` : undefined;
}
