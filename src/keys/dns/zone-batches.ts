import type { PublishResult, RecordChange } from './publisher.ts';

/** What one attempt at a batch gave. */
export type BatchOutcome = PublishResult | BatchAccepted | BatchRefusal;

/** The provider has taken it; `done` says when all its servers have it. */
export interface BatchAccepted {
  readonly kind: 'accepted';
  /** Never rejects. */
  readonly done: Promise<PublishResult>;
}

/** One of the changes cannot be made, so none was. */
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
  /** Batches that were accepted and are not done. */
  readonly maxOpen: number;
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
  ) => Promise<PublishResult | BatchAccepted>;
}

interface Submission {
  readonly changes: readonly RecordChange[];
  readonly settle: (result: PublishResult) => void;
}

interface Group {
  readonly submissions: readonly Submission[];
  readonly isAfterLoss: boolean;
}

/**
 * Gathers the changes of one zone: while a batch is being sent, those of other callers wait, and go
 * together in the next one. A refused batch is halved until the callers are found with whom it
 * cannot be made, so that one domain with a foreign record does not hold the others up.
 */
export class ZoneBatches {
  readonly #options: ZoneBatchesOptions;
  #waiting: Submission[] = [];
  /** Parts of refused batches, to be sent next. */
  readonly #parts: Group[] = [];
  readonly #open = new Set<Promise<void>>();
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
    for (let group = this.#next(); group !== undefined; group = this.#next()) {
      await this.#make(group);
      while (this.#open.size >= this.#options.maxOpen) await Promise.race(this.#open);
    }
    this.#isRunning = false;
  }

  async #make({ submissions, isAfterLoss }: Group): Promise<void> {
    const [only, ...others] = submissions;
    if (only !== undefined && others.length === 0) {
      this.#deliver(submissions, await this.#options.sendAlone(only.changes, isAfterLoss));
      return;
    }
    const outcome = await this.#options.send(submissions.flatMap(({ changes }) => changes));
    if (outcome.kind !== 'refused') {
      this.#deliver(submissions, outcome);
      return;
    }
    const middle = Math.ceil(submissions.length / 2);
    const halves = [submissions.slice(0, middle), submissions.slice(middle)];
    this.#parts.unshift(
      ...halves.map((half) => ({
        submissions: half,
        isAfterLoss: isAfterLoss || outcome.isAfterLoss,
      })),
    );
  }

  #deliver(submissions: readonly Submission[], outcome: PublishResult | BatchAccepted): void {
    if (outcome.kind !== 'accepted') {
      for (const { settle } of submissions) settle(outcome);
      return;
    }
    const open = outcome.done.then((result) => {
      for (const { settle } of submissions) settle(result);
      this.#open.delete(open);
    });
    this.#open.add(open);
  }

  #next(): Group | undefined {
    const part = this.#parts.shift();
    if (part !== undefined) return part;
    const submissions = this.#take();
    return submissions.length === 0 ? undefined : { submissions, isAfterLoss: false };
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
