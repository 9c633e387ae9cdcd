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

const ARC = 'arc-';

/** Fields that change or are removed on the way (RFC 6376 section 5.4.1), or are signatures. */
const NEVER_SIGNED = new Set([
  'received',
  'return-path',
  'bcc',
  'dkim-signature',
  'authentication-results',
]);

/** A header field name (RFC 5322 section 2.2) that may stand in `h=`, where `;` may not. */
export const headerName: Format = scalarFormat({
  name: 'header field name',
  description: 'header field name',
  check: (value) =>
    isFieldName(value) ? whyNeverSigned(value) : 'must be a header field name, such as Subject',
});

/** A header field name, or the beginning of names with `*` for the rest. */
export const headerNameOrPrefix: Format = scalarFormat({
  name: 'header field name or prefix',
  description: 'header field name; `*` at its end stands for any rest (`Resent-*`)',
  check: (value) => {
    const isPrefix = typeof value === 'string' && value.endsWith('*');
    const name = isPrefix ? value.slice(0, -1) : value;
    if (!isFieldName(name)) return 'must be a header field name, such as Subject or Resent-*';
    const lower = name.toLowerCase();
    return isPrefix && [...NEVER_SIGNED, ARC].some((never) => never.startsWith(lower))
      ? `${value} takes in fields that are never signed`
      : whyNeverSigned(name);
  },
});

function isFieldName(value: unknown): value is string {
  return typeof value === 'string' && /^[!-)+-9<-~]+$/.test(value);
}

function whyNeverSigned(written: string): string | undefined {
  const name = written.toLowerCase();
  return NEVER_SIGNED.has(name) || name.startsWith(ARC)
    ? `${written} is never signed: it changes or goes away on the way (RFC 6376 section 5.4.1)`
    : undefined;
}
