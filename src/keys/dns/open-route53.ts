import { Route53Client } from '@aws-sdk/client-route-53';
import { incompleteSetting, type PublisherSetting } from './publisher-settings.ts';
import type { PublisherParts } from './publishers.ts';
import { Route53Publisher } from './route53-publisher.ts';

const TIMEOUT_MS = 30_000;
/** Where the API is, for the whole world (AWS General Reference, "Route 53 endpoints"). */
const REGION = 'us-east-1';

/**
 * A publisher for a hosted zone, with the credentials of the SDK's default chain.
 *
 * @throws KeysError `key-publisher-setting`
 */
export function openRoute53(
  { hostedZoneId, region = REGION, endpoint }: PublisherSetting,
  { clock, route53Pace }: PublisherParts,
): Route53Publisher {
  if (hostedZoneId === undefined) throw incompleteSetting('route53', 'hostedZoneId');
  const client = new Route53Client({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    maxAttempts: 1, // retries are ours: they have to keep the pace
    requestHandler: {
      requestTimeout: TIMEOUT_MS,
      connectionTimeout: TIMEOUT_MS,
      throwOnRequestTimeout: true,
    },
  });
  return new Route53Publisher({
    client,
    hostedZoneId: hostedZoneId.replace(/^\/?hostedzone\//, ''),
    pace: route53Pace,
    clock,
    random: Math.random,
  });
}
