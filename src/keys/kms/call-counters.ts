import type { KmsFaultKind } from './kms-fault.ts';
import type { KmsOperation } from './kms-operation.ts';

/** Calls to KMS since the start of the process, by operation. */
export interface KmsCallCounts {
  /** Sent. AWS bills each request, also one that it refuses. */
  readonly calls: Readonly<Partial<Record<KmsOperation, number>>>;
  /** Of them, those that failed, by kind. */
  readonly failures: Readonly<Partial<Record<KmsFaultKind, number>>>;
}

/** Counts calls. */
export class CallCounters {
  readonly #calls = new Map<KmsOperation, number>();
  readonly #failures = new Map<KmsFaultKind, number>();

  sent(operation: KmsOperation): void {
    this.#calls.set(operation, (this.#calls.get(operation) ?? 0) + 1);
  }

  failed(kind: KmsFaultKind): void {
    this.#failures.set(kind, (this.#failures.get(kind) ?? 0) + 1);
  }

  /** A snapshot. */
  get counts(): KmsCallCounts {
    return {
      calls: Object.fromEntries(this.#calls),
      failures: Object.fromEntries(this.#failures),
    };
  }
}
