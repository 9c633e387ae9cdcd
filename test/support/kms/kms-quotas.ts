import type { Clock } from '../../../src/base/clock.ts';
import { KmsAnswerError } from './kms-error.ts';

/**
 * Request quotas by second, for each account and Region:
 * https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html
 */
const QUOTAS: Readonly<Record<string, number>> = {
  'sign RSA': 1000,
  'sign ECC': 1000,
  symmetric: 10_000,
  'pair RSA_2048': 20,
  'pair RSA_3072': 4,
  'pair RSA_4096': 1,
  'pair ECC_NIST_EDWARDS25519': 100,
  'pair ECC_NIST_P256': 100,
  CancelKeyDeletion: 5,
  CreateKey: 5,
  DescribeKey: 2000,
  DisableKey: 5,
  EnableKey: 5,
  GetPublicKey: 2000,
  ListKeys: 500,
  ListResourceTags: 2000,
  ReplicateKey: 5,
  ScheduleKeyDeletion: 15,
  TagResource: 10,
};

/** Counts the calls of the last second and throttles what is over. */
export class KmsQuotas {
  readonly #clock: Clock;
  readonly #seen = new Map<string, number[]>();
  /** A lower quota than AWS's default, by family. */
  readonly overrides = new Map<string, number>();
  /** Calls that were throttled. */
  throttled = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws KmsAnswerError ThrottlingException: https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html */
  count(family: string): void {
    const now = this.#clock.monotonicMs();
    const recent = (this.#seen.get(family) ?? []).filter((at) => at > now - 1000);
    this.#seen.set(family, recent);
    const quota = this.overrides.get(family) ?? QUOTAS[family];
    if (quota === undefined) throw new Error(`no quota for ${family}`);
    if (recent.length >= quota) {
      this.throttled += 1;
      throw new KmsAnswerError(
        'ThrottlingException',
        'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.',
      );
    }
    recent.push(now);
  }
}
