import { domainToASCII } from 'node:url';

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_NAME_CHARACTERS = 253;

/**
 * A signing domain as it stands in manifests: A-labels (RFC 5890) in lower case, no trailing dot.
 *
 * @param text as typed, U-labels allowed
 * @returns undefined when it is no domain name
 */
export function toSigningDomain(text: string): string | undefined {
  const ascii = domainToASCII(text.replace(/\.$/, ''));
  return isSigningDomain(ascii) ? ascii : undefined;
}

/** True for a domain name of letters, digits and hyphens, in lower case, that is no IP address. */
export function isSigningDomain(text: string): boolean {
  if (text.length === 0 || text.length > MAX_NAME_CHARACTERS) return false;
  const labels = text.split('.');
  return labels.every((label) => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? '');
}

/** True for a selector (RFC 6376 section 3.1), in lower case: one label or several. */
export function isSelector(text: string): boolean {
  return text.length <= 63 && text.split('.').every((label) => LABEL.test(label));
}

/** Where a key record lives in DNS (RFC 6376 section 3.6.2.1), without a trailing dot. */
export function recordName(selector: string, domain: string): string {
  return `${selector}._domainkey.${domain}`;
}

/** False when the name of the key record would be too long for DNS (RFC 1035 section 2.3.4). */
export function fitsInDns(selector: string, domain: string): boolean {
  return recordName(selector, domain).length <= MAX_NAME_CHARACTERS;
}

/**
 * The next dated selector: `wx`, year and month (UTC), the letter of the key's family, a number.
 *
 * @param wallMs time of creation in milliseconds since the epoch
 * @param isTaken true for a selector that was ever used in this domain; those never come back
 */
export function datedSelector(
  wallMs: number,
  selectorLetter: string,
  isTaken: (selector: string) => boolean,
): string {
  const month = new Date(wallMs).toISOString().slice(0, 7).replace('-', '');
  for (let number = 1; ; number += 1) {
    const selector = `wx${month}${selectorLetter}${number}`;
    if (!isTaken(selector)) return selector;
  }
}
