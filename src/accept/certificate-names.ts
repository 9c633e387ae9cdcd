import type { PeerCertificate } from 'node:tls';

/**
 * The names a client certificate speaks for: subject CN first, then DNS and e-mail names of the
 * subjectAltName extension (RFC 5280 section 4.2.1.6), in lower case and each once.
 */
export function certificateNames(certificate: PeerCertificate): string[] {
  const common = certificate.subject?.CN as string | readonly string[] | undefined;
  const alternatives = (certificate.subjectaltname ?? '')
    .split(', ')
    .map((entry) => /^(?:DNS|email):([^"]+)$/.exec(entry)?.[1] ?? '');
  const names = [...[common ?? []].flat(), ...alternatives].map((name) => name.toLowerCase());
  return [...new Set(names.filter((name) => name !== ''))];
}
