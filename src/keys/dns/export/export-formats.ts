import { dnsEndpoint } from './dns-endpoint.ts';
import type { ExportFormat } from './exported-record.ts';
import { json } from './json.ts';
import { octodns } from './octodns.ts';
import { terraform } from './terraform.ts';
import { zoneLines } from './zone-lines.ts';

/** In the order in which help shows them. */
export const EXPORT_FORMATS: readonly ExportFormat[] = [
  zoneLines,
  octodns,
  terraform,
  dnsEndpoint,
  json,
];
