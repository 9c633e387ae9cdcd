import { splitRecordValue } from '../../key-record.ts';
import type { ExportedRecord, ExportFormat } from './exported-record.ts';

/**
 * Resources `aws_route53_record` of Terraform's AWS provider. It puts the outer quotes around TXT
 * values itself; strings over 255 octets are split by `\"\"` in the text (provider documentation,
 * "route53_record", argument `records`).
 */
export const terraform: ExportFormat = {
  name: 'terraform',
  description: 'Terraform, aws_route53_record (HCL)',
  isOfOneZone: false,
  notes: ['set var.zone_id, or replace it by the id of the hosted zone'],
  render: (records) => records.map(resource).join('\n'),
};

function resource({ name, ttlS, value, type }: ExportedRecord): string {
  const written = type === 'TXT' ? splitRecordValue(value).join('""') : value;
  return [
    `resource "aws_route53_record" "${resourceName(name)}" {`,
    '  zone_id = var.zone_id',
    `  name    = ${literal(name)}`,
    `  type    = "${type}"`,
    `  ttl     = ${ttlS}`,
    `  records = [${literal(written)}]`,
    '}',
    '',
  ].join('\n');
}

/** Letters, digits, `_` and `-`, not beginning with a digit; different names stay different. */
function resourceName(name: string): string {
  return `dkim_${name.replaceAll('-', '--').replaceAll('.', '-')}`;
}

/** A quoted template (HCL native syntax, "Template Expressions"). */
function literal(text: string): string {
  const escaped = text
    .replace(/[\\"]/g, '\\$&')
    .replaceAll('${', () => '$${')
    .replaceAll('%{', '%%{');
  return `"${escaped}"`;
}
