import { type Format, scalarFormat } from './format.ts';
import { isFullyQualified, toDomain } from './network-formats.ts';

const FALLBACK = 'fallback:';

/** What to do with a message whose author domain has no key. */
export const unmatched: Format = scalarFormat({
  name: 'unmatched',
  description: '`refuse`, `unsigned` or `fallback:<domain>`',
  check: (value) => {
    if (value === 'refuse' || value === 'unsigned') return undefined;
    const fallback =
      typeof value === 'string' && value.startsWith(FALLBACK)
        ? toDomain(value.slice(FALLBACK.length))
        : undefined;
    return isFullyQualified(fallback ?? '')
      ? undefined
      : 'must be refuse, unsigned or fallback:DOMAIN, such as fallback:example.com';
  },
  normalize: (value) =>
    typeof value === 'string' && value.startsWith(FALLBACK)
      ? `${FALLBACK}${toDomain(value.slice(FALLBACK.length))}`
      : value,
});

/** Fields that change or are removed on the way (RFC 6376 section 5.4.1), or are signatures. */
const NEVER_SIGNED = new Set([
  'received',
  'return-path',
  'bcc',
  'dkim-signature',
  'authentication-results',
]);

/** A header field name (RFC 5322 section 2.2); a `*` at its end stands for any rest. */
export const headerName: Format = scalarFormat({
  name: 'header field name',
  description: 'header field name; `*` at its end stands for any rest (`Resent-*`)',
  check: (value) => {
    if (typeof value !== 'string' || !/^[!-)+-9;-~]+\*?$/.test(value)) {
      return 'must be a header field name, such as Subject or Resent-*';
    }
    const name = value.toLowerCase();
    return NEVER_SIGNED.has(name) || name.startsWith('arc-')
      ? `${value} is never signed: it changes or goes away on the way (RFC 6376 section 5.4.1)`
      : undefined;
  },
});
