import type { Substitute } from '../../mail/signer.ts';
import { KeysError } from '../keys-error.ts';

/**
 * What went wrong with a call to KMS, as a closed list, and what each entry means. Nothing else
 * looks at the SDK's errors, or decides by the name of a fault.
 */
export type KmsFaultKind =
  /** KMS says that the account's request quota is used up. */
  | 'throttled'
  /** A 5xx, or no connection. */
  | 'unavailable'
  /** No answer in time. */
  | 'timeout'
  /** A policy forbids it. Permissions spread slowly: a new key may need minutes. */
  | 'access-denied'
  | 'disabled'
  /** Pending deletion, or not made yet. */
  | 'invalid-state'
  | 'not-found'
  /** A ciphertext that does not fit its encryption context, or is damaged. */
  | 'wrong-context'
  /** It did not verify against the public key. */
  | 'wrong-signature'
  /** Our clock is wrong. The SDK learns by how much, so another attempt may pass. */
  | 'clock-skew'
  /** There are no credentials, or KMS does not know them. */
  | 'credentials'
  /** Not even asked: too much waits, or would not be had in time at the rate that we keep. */
  | 'over-quota'
  /** Not even asked: the calls of the day are used up. */
  | 'over-budget'
  /** The transaction ended. */
  | 'aborted'
  | 'other';

/** One row: what follows from a fault. */
export interface KmsFaultRow {
  /** Trying again may help. */
  readonly retry: boolean;
  /** A replica in another Region may do better. */
  readonly failOver: boolean;
  /** Counts against the Region: its circuit breaker opens after several. */
  readonly opensBreaker: boolean;
  /** Is held against the key: it is left alone for a while, and no other. */
  readonly holdsKey: boolean;
  /**
   * Who may sign in its place: a fall-back key, but never where somebody took the permission away;
   * then, as long as a rotation is not over, the key before it.
   */
  readonly substitute: Substitute | undefined;
  /** The call may have been carried out all the same. */
  readonly unknownOutcome: boolean;
  readonly hint: string | undefined;
}

const NOTHING: KmsFaultRow = {
  retry: false,
  failOver: false,
  opensBreaker: false,
  holdsKey: false,
  substitute: undefined,
  unknownOutcome: false,
  hint: undefined,
};
/** The Region is to blame, not the key. */
const REGION: KmsFaultRow = {
  ...NOTHING,
  retry: true,
  failOver: true,
  opensBreaker: true,
  substitute: 'fallback',
  unknownOutcome: true,
};
/** The key is to blame, not the Region. */
const KEY: KmsFaultRow = { ...NOTHING, holdsKey: true, substitute: 'predecessor' };

export const KMS_FAULTS: Readonly<Record<KmsFaultKind, KmsFaultRow>> = {
  throttled: {
    ...NOTHING,
    retry: true,
    failOver: true,
    substitute: 'fallback',
    hint: 'lower kms.quotaShare, or ask AWS for a higher request quota',
  },
  unavailable: REGION,
  timeout: REGION,
  'access-denied': {
    ...KEY,
    hint: 'see the policies of the key and of this identity; docs/kms/ has them ready',
  },
  disabled: { ...KEY, hint: 'enable the key in KMS, or rotate to another one' },
  'invalid-state': { ...KEY, hint: 'the key is pending deletion, or not ready yet' },
  'not-found': { ...KEY, hint: 'is kms.regions right, and is this the account of the key?' },
  'wrong-context': {
    ...KEY,
    hint: 'the ciphertext belongs to another domain or selector, or is damaged',
  },
  'wrong-signature': { ...KEY, substitute: undefined },
  'clock-skew': { ...NOTHING, retry: true, hint: 'set the clock of this machine' },
  credentials: { ...NOTHING, hint: "the SDK's default chain found no good AWS credentials" },
  'over-quota': { ...NOTHING, substitute: 'fallback' },
  'over-budget': {
    ...NOTHING,
    substitute: 'fallback',
    hint: 'kms.budget bounds the calls of a day',
  },
  aborted: NOTHING,
  other: NOTHING,
};

/** A call to KMS that failed. The code is `kms-` and the kind of the fault. */
export class KmsError extends KeysError {
  readonly kind: KmsFaultKind;
  /** AWS's id of the request, for its support and the journal. */
  readonly requestId: string | undefined;

  constructor(
    kind: KmsFaultKind,
    message: string,
    details: { readonly requestId?: string | undefined; readonly cause?: unknown } = {},
  ) {
    const { hint } = KMS_FAULTS[kind];
    super(`kms-${kind}`, message, {
      ...(details.cause === undefined ? {} : { cause: details.cause }),
      ...(hint === undefined ? {} : { hint }),
    });
    this.kind = kind;
    this.requestId = details.requestId;
  }

  get row(): KmsFaultRow {
    return KMS_FAULTS[this.kind];
  }
}
