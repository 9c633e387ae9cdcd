import { type LocalReply, localReply } from '../mail/reply.ts';

/**
 * What each failure to route means for the recipient: one function a row. A fault of the
 * recipient's domain is final; a fault of the DNS or of our configuration is temporary.
 */

/** NXDOMAIN, or neither MX nor address: the right of the "@" is no place for mail (RFC 3463 X.1.2). */
export function noSuchDomain(domain: string, found: 'nxdomain' | 'nodata'): LocalReply {
  const what =
    found === 'nxdomain'
      ? 'the domain does not exist in the DNS'
      : 'the domain has no MX, A or AAAA record';
  return localReply(550, '5.1.2', 'route.no-such-domain', [
    `${domain}: ${what}; check the spelling of the recipient address`,
  ]);
}

/** The bare `postmaster` of RFC 5321 section 4.5.1, which names no mail system to relay to. */
export function noDomain(): LocalReply {
  return localReply(
    550,
    '5.1.2',
    'route.no-domain',
    'an address without a domain cannot be relayed; write it with its domain',
  );
}

/** RFC 7505 section 3 gives code and text. */
export function nullMx(domain: string): LocalReply {
  return localReply(
    556,
    '5.1.10',
    'route.null-mx',
    `${domain} does not accept mail: it publishes a null MX (RFC 7505)`,
  );
}

export function dnsFailed(domain: string, what: string, detail: string): LocalReply {
  return localReply(
    451,
    '4.4.3',
    'route.dns-failed',
    `${domain}: the DNS look-up of ${what} failed (${detail}); try again later`,
  );
}

/** MXs exist, but none leads to an address: no next hop can be determined (RFC 3463 X.4.4). */
export function noAddress(domain: string, hosts: readonly string[]): LocalReply {
  return localReply(
    550,
    '5.4.4',
    'route.no-address',
    `${domain}: none of its mail servers (${listed(hosts)}) has an address in the DNS; its postmaster has to mend the MX records`,
  );
}

export function notPublic(domain: string, hosts: readonly string[]): LocalReply {
  return localReply(
    550,
    '5.4.6',
    'route.not-public',
    `${domain}: its mail servers (${listed(hosts)}) have only private or otherwise unreachable addresses; if that is meant, name it under "route" or set relay.allowPrivate`,
  );
}

/** RFC 5321 section 5.1: we are the best MX ourselves, and mail to it would come back to us. */
export function pointsToUs(domain: string): LocalReply {
  return localReply(
    550,
    '5.4.6',
    'route.loop',
    `${domain}: its best MX is this relay itself, so mail for it would loop; name its mail server under "route"`,
  );
}

/**
 * The literal is good syntax (so not X.1.3, which says the opposite), but we look no further for a
 * next hop than the DNS: X.4.4, unable to route.
 */
export function literalRefused(domain: string): LocalReply {
  return localReply(
    550,
    '5.4.4',
    'route.address-literal',
    `${domain}: mail to address literals is not relayed here; use the domain name of the recipient`,
  );
}

/** RFC 3463 X.1.3, bad destination mailbox address syntax. */
export function literalInvalid(domain: string): LocalReply {
  return localReply(
    550,
    '5.1.3',
    'route.address-literal',
    `${domain} is not a valid address literal; write [192.0.2.1] or [IPv6:2001:db8::1]`,
  );
}

/** A configured host without address is our operator's fault, hence never a bounce (X.3.5). */
export function fixedHostNotFound(domain: string, hosts: readonly string[]): LocalReply {
  return localReply(
    451,
    '4.3.5',
    'route.host-not-found',
    `${domain}: the host configured for it (${listed(hosts)}) has no address in the DNS; the operator of this relay has to mend "route" or "smarthost"`,
  );
}

const MAX_LISTED = 3;

function listed(hosts: readonly string[]): string {
  const shown = hosts.slice(0, MAX_LISTED).join(', ');
  return hosts.length > MAX_LISTED ? `${shown} and ${hosts.length - MAX_LISTED} more` : shown;
}
