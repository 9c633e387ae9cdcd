/**
 * What Sign alone costs, in a process of its own, over plain HTTP with keep-alive. Reports
 * `{ cpuMs, p50Ms }`: milliseconds of CPU for one call of the AWS SDK as it comes, fifty at once; and
 * how long the KMS takes to answer at a fixed rate, seen from a bare HTTP client.
 */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { KMSClient, SignCommand, type SignCommandInput } from '@aws-sdk/client-kms';
import { readOptions, report } from './control.ts';
import { percentile } from './statistics.ts';

export interface KmsCostOptions {
  readonly endpoint: string;
  readonly arn: string;
  readonly count: number;
  /** Calls before, so that V8 has compiled what they need, as in the relay that this is compared with. */
  readonly warmUp: number;
  /** Of the bare calls. */
  readonly ratePerSecond: number;
}

const CONCURRENT = 50;
/** Bare calls that are timed. */
const TIMED = 100;
const { endpoint, arn, count, warmUp, ratePerSecond } = readOptions<KmsCostOptions>();
const httpAgent = { keepAlive: true, maxSockets: CONCURRENT };
const client = new KMSClient({
  region: 'eu-central-1',
  endpoint,
  maxAttempts: 1,
  requestHandler: { httpAgent },
});
const digest = Buffer.alloc(32, 'h');
const input = {
  KeyId: arn,
  MessageType: 'DIGEST',
  SigningAlgorithm: 'RSASSA_PKCS1_V1_5_SHA_256',
} satisfies Partial<SignCommandInput>;

async function signMany(many: number): Promise<void> {
  let started = 0;
  const loop = async (): Promise<void> => {
    while (started < many) {
      started += 1;
      await client.send(new SignCommand({ ...input, Message: digest }));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT }, loop));
}

async function signBare(agent: Agent): Promise<number> {
  const now = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const headers = {
    'content-type': 'application/x-amz-json-1.1',
    'x-amz-target': 'TrentService.Sign',
    'x-amz-date': now,
    // The KMS of the tests believes who calls.
    authorization: `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/${now.slice(0, 8)}/eu-central-1/kms/aws4_request`,
  };
  const startMs = performance.now();
  return await new Promise((resolve, reject) => {
    const sent = request(endpoint, { method: 'POST', agent, headers }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`Sign: ${response.statusCode}`));
      response.resume().on('end', () => resolve(performance.now() - startMs));
    });
    sent.on('error', reject);
    sent.end(JSON.stringify({ ...input, Message: digest.toString('base64') }));
  });
}

async function bareP50Ms(): Promise<number> {
  const agent = new Agent({ keepAlive: true });
  for (let at = 0; at < 10; at += 1) await signBare(agent);
  const timed: Promise<number>[] = [];
  for (let at = 0; at < TIMED; at += 1) {
    timed.push(signBare(agent));
    await sleep(1000 / ratePerSecond);
  }
  const latenciesMs = await Promise.all(timed);
  agent.destroy();
  return percentile(latenciesMs, 0.5);
}

await signMany(warmUp);
const before = process.cpuUsage();
await signMany(count);
const used = process.cpuUsage(before);
client.destroy();
report({ cpuMs: (used.user + used.system) / 1000 / count, p50Ms: await bareP50Ms() });
