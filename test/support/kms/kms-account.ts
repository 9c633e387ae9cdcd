import type { KeyObject } from 'node:crypto';
import type { Clock } from '../../../src/base/clock.ts';
import { KmsAnswerError } from './kms-error.ts';

export const ACCOUNT = '111122223333';

/** https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html */
export type KmsKeyState =
  | 'Creating'
  | 'Enabled'
  | 'Disabled'
  | 'PendingDeletion'
  | 'PendingReplicaDeletion';

/** A key in one Region. The replicas of a multi-Region key share `id` and `material`. */
export interface KmsKey {
  readonly id: string;
  readonly arn: string;
  readonly region: string;
  readonly spec: string;
  readonly usage: 'SIGN_VERIFY' | 'ENCRYPT_DECRYPT';
  readonly material: KeyObject | Buffer;
  readonly description: string;
  readonly createdMs: number;
  /** `primary` and `replica`: of a multi-Region key. */
  role: 'single' | 'primary' | 'replica';
  state: KmsKeyState;
  /** While `Creating`: when it will be enabled. */
  enabledAtMs: number;
  readonly tags: Map<string, string>;
  /** Tags and lists show it only from then on (eventual consistency). */
  visibleAtMs: number;
  pendingDays: number;
  deletionMs: number | undefined;
}

/** The keys of one account in all its Regions. Time is the clock's: deletions fall due by it. */
export class KmsAccount {
  readonly clock: Clock;
  readonly #keys: KmsKey[] = [];
  /**
   * KMS is eventually consistent, often by seconds:
   * https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency
   */
  listDelayMs = 0;
  /** How long a replica stands in `Creating`: https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-replicate.html */
  replicaCreatingMs = 0;
  /** Data key pairs that are ready, by spec: making thousands of RSA pairs takes minutes. */
  readonly readyPairs = new Map<string, readonly KeyObject[]>();
  #pairsGiven = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** One that is ready, in turn; undefined: make one. */
  readyPair(spec: string): KeyObject | undefined {
    const ready = this.readyPairs.get(spec) ?? [];
    this.#pairsGiven += 1;
    return ready[this.#pairsGiven % ready.length];
  }

  add(key: KmsKey): void {
    this.#keys.push(key);
  }

  /** Keys of a Region that are not gone, oldest first. */
  keysIn(region: string): readonly KmsKey[] {
    this.#settle();
    return this.#keys.filter((key) => key.region === region);
  }

  /** All Regions' keys of one id. */
  siblings(id: string): readonly KmsKey[] {
    this.#settle();
    return this.#keys.filter((key) => key.id === id);
  }

  /** @param reference an id or an ARN; an ARN of another Region is not found here */
  find(region: string, reference: string): KmsKey {
    const id = /:key\/(.+)$/.exec(reference)?.[1] ?? reference;
    const named = /^arn:aws:kms:([^:]+):/.exec(reference)?.[1] ?? region;
    const key = this.keysIn(region).find((candidate) => candidate.id === id);
    if (key !== undefined && named === region) return key;
    const arn = reference.startsWith('arn:')
      ? reference
      : `arn:aws:kms:${region}:${ACCOUNT}:key/${reference}`;
    throw new KmsAnswerError('NotFoundException', `Key '${arn}' does not exist`);
  }

  /** What time alone changes: keys whose waiting period is over are gone. */
  #settle(): void {
    const now = this.clock.wallMs();
    for (const key of this.#keys) {
      if (key.state === 'Creating' && key.enabledAtMs <= now) key.state = 'Enabled';
    }
    for (let index = this.#keys.length - 1; index >= 0; index -= 1) {
      const key = this.#keys[index];
      if (key?.deletionMs === undefined || key.deletionMs > now) continue;
      this.#keys.splice(index, 1);
      this.#primaryMayGo(key);
    }
  }

  /** A primary waits for its last replica, and its own waiting period begins only then. */
  #primaryMayGo(gone: KmsKey): void {
    const rest = this.#keys.filter((key) => key.id === gone.id);
    const primary = rest.find((key) => key.state === 'PendingReplicaDeletion');
    if (primary === undefined || rest.length > 1) return;
    primary.state = 'PendingDeletion';
    primary.deletionMs = (gone.deletionMs ?? 0) + primary.pendingDays * 86_400_000;
  }
}
