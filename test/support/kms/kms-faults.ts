import type { Clock } from '../../../src/base/clock.ts';
import { KmsAnswerError } from './kms-error.ts';

/** One way to go wrong. */
export type KmsEffect =
  /** Answers with this error; by default as KMS does for that type. */
  | {
      readonly kind: 'error';
      readonly type: string;
      readonly message?: string;
      readonly status?: number;
    }
  /** Answers late, by the clock, and otherwise well. */
  | { readonly kind: 'latency'; readonly ms: number }
  /** Never answers. */
  | { readonly kind: 'silence' }
  /** Closes the connection instead of answering; `after`: the operation was carried out. */
  | { readonly kind: 'cut'; readonly after?: boolean }
  /** A signature that does not verify. */
  | { readonly kind: 'wrong-signature' };

export interface KmsFault {
  readonly effect: KmsEffect;
  /** Only for this operation. */
  readonly operation?: string;
  /** Only for the key with this id. */
  readonly keyId?: string;
  /** How often; for ever when absent. */
  readonly times?: number;
  /** Only until the clock has moved on by so much. */
  readonly forMs?: number;
}

/** Short forms of what AWS answers. */
export const KMS_EFFECTS = {
  /** https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html */
  throttled: {
    kind: 'error',
    type: 'ThrottlingException',
    message:
      'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.',
  },
  /** https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html#API_Sign_Errors */
  internal: { kind: 'error', type: 'KMSInternalException', status: 500 },
  dependency: { kind: 'error', type: 'DependencyTimeoutException', status: 503 },
  /** A load balancer's words, which are no JSON. */
  gateway: { kind: 'error', type: '', status: 502 },
  /** https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html */
  accessDenied: {
    kind: 'error',
    type: 'AccessDeniedException',
    message:
      'User: arn:aws:iam::111122223333:user/relay is not authorized to perform this operation',
  },
  badToken: {
    kind: 'error',
    type: 'UnrecognizedClientException',
    message: 'The security token included in the request is invalid.',
  },
  disabled: { kind: 'error', type: 'DisabledException' },
  pendingDeletion: {
    kind: 'error',
    type: 'KMSInvalidStateException',
    message: 'is pending deletion.',
  },
  wrongContext: { kind: 'error', type: 'InvalidCiphertextException', message: '' },
  wrongSignature: { kind: 'wrong-signature' },
  silence: { kind: 'silence' },
  cut: { kind: 'cut' },
  cutAfter: { kind: 'cut', after: true },
} as const satisfies Record<string, KmsEffect>;

interface Injected {
  readonly fault: KmsFault;
  left: number;
  readonly untilMs: number;
}

/** The faults of one Region. */
export class KmsFaults {
  readonly #clock: Clock;
  #injected: Injected[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  inject(effect: KmsEffect, where: Omit<KmsFault, 'effect'> = {}): void {
    const fault = { effect, ...where };
    const untilMs =
      where.forMs === undefined
        ? Number.POSITIVE_INFINITY
        : this.#clock.monotonicMs() + where.forMs;
    this.#injected.push({ fault, left: where.times ?? Number.POSITIVE_INFINITY, untilMs });
  }

  clear(): void {
    this.#injected = [];
  }

  /** The effects that hold for a call; counts it. */
  effectsOn(operation: string, keyId: string | undefined): readonly KmsEffect[] {
    const now = this.#clock.monotonicMs();
    this.#injected = this.#injected.filter(({ left, untilMs }) => left > 0 && untilMs > now);
    const hit = this.#injected.filter(
      ({ fault }) =>
        (fault.operation === undefined || fault.operation === operation) &&
        (fault.keyId === undefined || fault.keyId === keyId),
    );
    for (const injected of hit) injected.left -= 1;
    return hit.map(({ fault }) => fault.effect);
  }
}

export function errorOf(effect: Extract<KmsEffect, { kind: 'error' }>): KmsAnswerError {
  return new KmsAnswerError(effect.type, effect.message ?? effect.type, effect.status ?? 400);
}
