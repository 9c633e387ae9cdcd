import type { PublisherConfig } from './config.ts';
import { type Format, type FormatIssue, listFormat, scalarFormat } from './format.ts';
import { dnsServer, domain, toDomain } from './network-formats.ts';
import { type Field, isRecord, parseInline, recordFormat } from './route-formats.ts';
import { checkServiceUrl, oneOf } from './scalar-formats.ts';
import { setting } from './setting.ts';

/** What a row of each kind must have, and may have besides `domains`, `kind` and `slotsUnder`. */
const KINDS: Readonly<
  Record<
    PublisherConfig['kind'],
    { readonly must: readonly string[]; readonly may: readonly string[] }
  >
> = {
  print: { must: [], may: [] },
  rfc2136: { must: ['server', 'keyName', 'keyFile'], may: ['zone'] },
  route53: { must: ['hostedZoneId'], may: ['region', 'endpoint'] },
};
const OF_ALL_KINDS: readonly string[] = ['domains', 'kind', 'slotsUnder'];

const publishedDomain: Format = scalarFormat({
  name: 'published domain',
  description: '`example.com`, `.example.com` for all its subdomains, or `*` for all domains',
  check: (value) => (value === '*' ? undefined : domain.check(withoutDot(value)).at(0)?.message),
  normalize: (value) => {
    const written = String(value);
    if (written === '*') return written;
    return written.startsWith('.') ? `.${toDomain(written.slice(1))}` : toDomain(written);
  },
});

/** Names in DNS that need not be host names: `_domainkey.example.com`, `waxseal-key`, `.`. */
const dnsName: Format = scalarFormat({
  name: 'name in DNS',
  description: 'name in DNS',
  check: (value) =>
    typeof value === 'string' && /^(?:\.|[\w-]{1,63}(?:\.[\w-]{1,63})*\.?)$/.test(value)
      ? undefined
      : 'must be a name in DNS, such as _domainkey.example.com',
  normalize: (value) => {
    const written = String(value).toLowerCase();
    return written === '.' ? written : written.replace(/\.$/, '');
  },
});

const word: Format = scalarFormat({
  name: 'word',
  description: 'word',
  check: (value) =>
    typeof value === 'string' && /^[\w./-]{1,100}$/.test(value) ? undefined : 'must be one word',
});

const path: Format = scalarFormat({
  name: 'path of a file',
  description: 'path of a file',
  check: (value) =>
    typeof value === 'string' && value !== '' && !value.includes('\0')
      ? undefined
      : 'must be a path',
});

const url: Format = scalarFormat({
  name: 'URL',
  description: '`https://host[:port]`',
  check: (value) => checkServiceUrl(value, 'must be a URL'),
});

const optional = (format: Format): Field => ({ format, required: false });

const row = recordFormat('publisher', {
  domains: { format: listFormat(publishedDomain, { atLeast: 1 }), required: true },
  kind: { format: oneOf('print', 'rfc2136', 'route53'), required: true },
  server: optional(dnsServer),
  keyName: optional(dnsName),
  keyFile: optional(path),
  zone: optional(dnsName),
  hostedZoneId: optional(word),
  region: optional(word),
  endpoint: optional(url),
  slotsUnder: optional(dnsName),
});

const publishers: Format = {
  ...listFormat({ ...row, check: (value) => [...row.check(value), ...kindIssues(value)] }),
  name: 'publishers',
  description:
    'list of `{domains, kind: print | rfc2136 | route53, slotsUnder}`, with `{server, keyName, keyFile, zone}` for rfc2136 and `{hostedZoneId, region, endpoint}` for route53',
  parse: parseInline,
};

function kindIssues(value: unknown): readonly FormatIssue[] {
  if (!isRecord(value)) return [];
  const { kind } = value;
  const needs =
    typeof kind === 'string' && kind in KINDS ? KINDS[kind as keyof typeof KINDS] : undefined;
  if (needs === undefined) return [];
  const given = Object.keys(value).filter((key) => value[key] !== null);
  const missing = needs.must.filter((key) => !given.includes(key));
  const foreign = given.filter(
    (key) => ![...OF_ALL_KINDS, ...needs.must, ...needs.may].includes(key) && key in EVERY_KEY,
  );
  return [
    ...missing.map((key) => ({ path: [], message: `${key} is missing (kind: ${kind})` })),
    ...foreign.map((key) => ({ path: [key], message: `has no meaning with kind: ${kind}` })),
  ];
}

/** Others are reported as unknown already. */
const EVERY_KEY: Readonly<Record<string, true>> = Object.fromEntries(
  [...OF_ALL_KINDS, ...Object.values(KINDS).flatMap(({ must, may }) => [...must, ...may])].map(
    (key) => [key, true],
  ),
);

function withoutDot(value: unknown): unknown {
  return typeof value === 'string' && value.startsWith('.') ? value.slice(1) : value;
}

/** Who writes key records into DNS. */
export const publishersSetting = setting(
  publishers,
  [],
  'Who writes key records into DNS, by domain; an exact name counts before the longest suffix, and `*` comes last. `print` (also for domains that no row names): a person does. `rfc2136`: dynamic update at `server`, the primary, over TCP with the TSIG key `keyName` (hmac-sha256) whose secret stands in `keyFile`, as `tsig-keygen` prints it; `zone` is asked from the server unless given. `route53`: the hosted zone `hostedZoneId`, with the AWS credentials of the environment. `slotsUnder`: the domains point at our records by CNAME (`wxr1._domainkey.DOMAIN` at `wxr1.DOMAIN.SLOTSUNDER`), and records are written there.',
);

const hint = recordFormat('DNS hint', {
  zone: { format: dnsName, required: true },
  servers: { format: listFormat(dnsServer, { atLeast: 1 }), required: true },
});

/** Where walks to authoritative servers begin. */
export const dnsHintsSetting = setting(
  {
    ...listFormat(hint),
    name: 'DNS hints',
    description: 'list of `{zone, servers}`',
    parse: parseInline,
  },
  [],
  'Authoritative servers at which `waxseal keys` begins to look for the records of a zone and all below it, for zones that the Internet does not show. `zone: .` stands for the root. Name servers have the port that the hint of their zone, or of one above, gives for their address, else 53. Empty: the root servers of the Internet.',
);
