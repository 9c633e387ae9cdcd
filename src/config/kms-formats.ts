import { type Format, scalarFormat } from './format.ts';
import { checkServiceUrl } from './scalar-formats.ts';

const REGION = /^[a-z]{2,4}(?:-[a-z]+)+-\d$/;

/** A Region of AWS. */
export const awsRegion: Format = scalarFormat({
  name: 'AWS Region',
  description: 'AWS Region such as `eu-central-1`',
  check: (value) =>
    typeof value === 'string' && REGION.test(value)
      ? undefined
      : 'must be an AWS Region such as eu-central-1',
});

/** An endpoint for all Regions, or for one. */
export const kmsEndpoint: Format = scalarFormat({
  name: 'KMS endpoint',
  description: '`https://host[:port]` for every Region, or `region=https://host[:port]`',
  check: (value) => {
    const match = typeof value === 'string' ? /^(?:([^=/]*)=)?(.*)$/.exec(value) : null;
    const [, region, url = ''] = match ?? [];
    if (region !== undefined && !REGION.test(region)) return 'must name an AWS Region before "="';
    return checkServiceUrl(
      url,
      'must be a URL such as https://vpce-1.kms.eu-central-1.vpce.amazonaws.com',
    );
  },
});

/** ARN of a key, and of no alias: an alias may come to mean another key. */
export const kmsKeyArn: Format = scalarFormat({
  name: 'KMS key ARN or empty',
  description: 'ARN of a KMS key (no alias), or empty',
  check: (value) =>
    typeof value === 'string' &&
    (value === '' ||
      /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/(mrk-[0-9a-f]{32}|[0-9a-f-]{36})$/.test(value))
      ? undefined
      : 'must be the ARN of a KMS key: arn:aws:kms:REGION:ACCOUNT:key/ID',
});
