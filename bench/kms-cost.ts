/**
 * Measures what the AWS SDK's Sign alone costs: milliseconds of CPU for one call over plain HTTP with
 * keep-alive, fifty at once, in a process of its own. Reports `{ cpuMs }`.
 */
import { KMSClient, SignCommand } from '@aws-sdk/client-kms';
import { readOptions, report } from './control.ts';

export interface KmsCostOptions {
  readonly endpoint: string;
  readonly arn: string;
  readonly count: number;
}

const CONCURRENT = 50;
const { endpoint, arn, count } = readOptions<KmsCostOptions>();
const agent = { keepAlive: true, maxSockets: CONCURRENT };
const client = new KMSClient({
  region: 'eu-central-1',
  endpoint,
  maxAttempts: 1,
  requestHandler: { httpAgent: agent },
});
const digest = Buffer.alloc(32, 'h');

async function signMany(many: number): Promise<void> {
  let started = 0;
  const loop = async (): Promise<void> => {
    while (started < many) {
      started += 1;
      await client.send(
        new SignCommand({
          KeyId: arn,
          Message: digest,
          MessageType: 'DIGEST',
          SigningAlgorithm: 'RSASSA_PKCS1_V1_5_SHA_256',
        }),
      );
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT }, loop));
}

await signMany(200);
const before = process.cpuUsage();
await signMany(count);
const used = process.cpuUsage(before);
report({ cpuMs: (used.user + used.system) / 1000 / count });
client.destroy();
