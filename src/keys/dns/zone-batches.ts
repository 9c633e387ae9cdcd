import type { PublishResult, RecordChange } from './publisher.ts';

/** What one attempt at a batch gave: a result for all, or "one of them was refused". */
export type BatchOutcome = PublishResult | BatchRefusal;

export interface BatchRefusal {
  readonly kind: 'refused';
  readonly reason: string;
  /** An attempt before may have made the changes: its answer was lost. */
  readonly isAfterLoss: boolean;
}

export interface ZoneBatchesOptions {
  /** Changes of one batch. */
  readonly maxChanges: number;
  /** Octets of the values of one batch. */
  readonly maxOctets: number;
  /** Makes all changes or none. Never rejects. */
  readonly send: (changes: readonly RecordChange[]) => Promise<BatchOutcome>;
  /**
   * Makes the changes of one caller, and finds out what is wrong with them. Never rejects.
   *
   * @param isAfterLoss as in `BatchRefusal`
   */
  readonly sendAlone: (
    changes: readonly RecordChange[],
    isAfterLoss: boolean,
  ) => Promise<PublishResult>;
}

interface Submission {
  readonly changes: readonly RecordChange[];
  readonly settle: (result: PublishResult) => void;
}

/**
 * Gathers the changes of one zone: while a batch is under way, those of other callers wait, and go
 * together in the next one. When a batch is refused, each caller's changes are tried by themselves,
 * so that one domain with a foreign record does not hold the others up.
 */
export class ZoneBatches {
  readonly #options: ZoneBatchesOptions;
  #waiting: Submission[] = [];
  #isRunning = false;

  constructor(options: ZoneBatchesOptions) {
    this.#options = options;
  }

  submit(changes: readonly RecordChange[]): Promise<PublishResult> {
    return new Promise((resolve) => {
      this.#waiting.push({ changes, settle: resolve });
      if (!this.#isRunning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // Callers that come in the same turn of the event loop belong to the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#take();
      const [only, ...others] = batch;
      if (only !== undefined && others.length === 0) {
        only.settle(await this.#options.sendAlone(only.changes, false));
        continue;
      }
      const outcome = await this.#options.send(batch.flatMap(({ changes }) => changes));
      for (const { changes, settle } of batch) {
        settle(
          outcome.kind === 'refused'
            ? await this.#options.sendAlone(changes, outcome.isAfterLoss)
            : outcome,
        );
      }
    }
    this.#isRunning = false;
  }

  /** The next callers, as many as fit into one batch; at least one. */
  #take(): Submission[] {
    const { maxChanges, maxOctets } = this.#options;
    let count = 0;
    let changes = 0;
    let octets = 0;
    for (const submission of this.#waiting) {
      changes += submission.changes.length * 2; // DELETE and CREATE
      octets += valueOctets(submission.changes);
      if (count > 0 && (changes > maxChanges || octets > maxOctets)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }
}

/** Octets of the values, old and new, with room for quotes. */
export function valueOctets(changes: readonly RecordChange[]): number {
  return changes.reduce(
    (sum, { before, after }) => sum + (before?.value.length ?? 0) + (after?.length ?? 0) + 40,
    0,
  );
}
