import type convict from 'convict';
import type { Config } from './config.ts';
import { listFormat } from './format.ts';
import { awsRegion, kmsEndpoint, kmsKeyArn } from './kms-formats.ts';
import { integer, milliseconds, onOff } from './scalar-formats.ts';
import { setting } from './setting.ts';

/** Keys in AWS KMS. Credentials come from the AWS SDK's default chain and never stand here. */
export const kmsSchema: convict.Schema<Config['kms']> = {
  regions: setting(
    listFormat(awsRegion),
    [],
    'AWS Regions. The first is home: keys are made and asked there. With several, the first kms-sign keys of a domain are multi-Region keys with a replica in each other one, and signatures are had from there when home does not answer; later keys are where those before them are (`--regions` of `keys create` and `keys rotate` takes another choice). Empty: the one Region of the AWS SDK (AWS_REGION, profile).',
  ),
  endpoints: setting(
    listFormat(kmsEndpoint),
    [],
    'Where KMS is, for VPC endpoints and emulators. Empty: the public endpoint of each Region.',
  ),
  wrappingKey: setting(
    kmsKeyArn,
    '',
    'The symmetric KMS key that encrypts new private keys of the back end kms-envelope. Waxseal never disables or deletes it.',
  ),
  quotas: {
    rsaPerSecond: setting(
      integer(1, 1_000_000),
      1000,
      'Calls to Sign with RSA keys that AWS allows your account in a Region by second (Service Quotas).',
    ),
    eccPerSecond: setting(
      integer(1, 1_000_000),
      1000,
      'Calls to Sign with elliptic-curve keys (Ed25519) that AWS allows your account in a Region by second.',
    ),
  },
  quotaShare: setting(
    integer(1, 100),
    50,
    'Per cent of each of the request quotas that this process takes; the rest is for the other replicas and for whatever else the account does. Signatures over it wait for their turn.',
  ),
  maxWaiting: setting(
    integer(1, 100_000),
    1000,
    'Calls to KMS at the same time, those that wait for their turn included. Over it, a message is answered 451 4.7.5 at once.',
  ),
  attemptTimeoutMs: setting(
    milliseconds(100, 60_000),
    12_000,
    'How long one call to KMS may take.',
  ),
  totalTimeoutMs: setting(
    milliseconds(100, 60_000),
    30_000,
    'How long all attempts at one signature may take, waiting included. Then the message is answered 451 4.7.5.',
  ),
  connections: setting(
    integer(1, 10_000),
    256,
    'Most connections to KMS in each Region; idle ones are used again. Calls over it wait, as long as a whole attempt still fits into their time.',
  ),
  budget: setting(
    integer(0, 1_000_000_000),
    0,
    'Most signatures and decryptions that this process asks of KMS in a day (UTC). A warning comes at 80 per cent; over it, messages are answered 451 4.7.5 (or see `kms.fallback`). 0: no bound.',
  ),
  fallback: setting(
    onOff,
    false,
    'Sign with a kms-envelope key of the same domain, whose record is verified, where a kms-sign key cannot be had because of quota, time-outs or budget. Never where access was denied or the key disabled.',
  ),
  deletionWindowDays: setting(
    integer(7, 30),
    30,
    'Days until the deletion of a KMS key is final; `waxseal keys cancel-destroy` can take it back until then.',
  ),
  countsLogMs: setting(
    milliseconds(1000, 86_400_000),
    3_600_000,
    'How often the number of calls to KMS is logged, by operation. AWS bills each.',
  ),
};
