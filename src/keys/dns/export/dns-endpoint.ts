import { createHash } from 'node:crypto';
import { stringify } from 'yaml';
import { quotedStrings } from '../../key-record.ts';
import type { ExportedRecord, ExportFormat } from './exported-record.ts';

/** Characters of a name of a Kubernetes object (RFC 1123 subdomain) that we use. */
const MAX_OBJECT_NAME = 63;

const NOTES = [
  'experimental: TXT values are quoted and split as in zone files, which not every provider of external-dns takes; check what arrives in DNS',
  'external-dns needs the DNSEndpoint CRD and the flags --source=crd --crd-source-apiversion=externaldns.k8s.io/v1alpha1 --crd-source-kind=DNSEndpoint --managed-record-types=TXT --managed-record-types=CNAME, and --txt-prefix where it uses the TXT registry',
];

/**
 * Objects `DNSEndpoint` for external-dns. One object for each record: names are unique, and taking one
 * away removes its record alone. TXT values are written as zone files have them, quoted and split: so
 * its providers for RFC 2136, Route 53 and Google take them, which pass the text on. What others make
 * of the quotes differs, so it is experimental.
 */
export const dnsEndpoint: ExportFormat = {
  name: 'dnsendpoint',
  description: 'Kubernetes, DNSEndpoint of external-dns (experimental)',
  isOfOneZone: false,
  notes: NOTES,
  render: (records) => {
    const head = NOTES.map((note) => `# ${note}\n`);
    const objects = records.map((record) => `---\n${stringify(object(record), { lineWidth: 0 })}`);
    return [...head, ...objects].join('');
  },
};

function object({ name, ttlS, value, type }: ExportedRecord): object {
  const target = type === 'TXT' ? quotedStrings(value) : value.replace(/\.$/, '');
  return {
    apiVersion: 'externaldns.k8s.io/v1alpha1',
    kind: 'DNSEndpoint',
    metadata: { name: objectName(name) },
    spec: {
      endpoints: [{ dnsName: name, recordTTL: ttlS, recordType: type, targets: [target] }],
    },
  };
}

/** From the owner, without underscores; with a part of its hash where it had to be cut. */
function objectName(name: string): string {
  const plain = `dkim-${name.replaceAll('_', '').replaceAll('.', '-')}`;
  if (plain.length <= MAX_OBJECT_NAME) return plain;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 10);
  return `${plain.slice(0, MAX_OBJECT_NAME - hash.length - 1).replace(/-+$/, '')}-${hash}`;
}
