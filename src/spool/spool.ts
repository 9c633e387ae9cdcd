import type { Clock } from '../base/clock.ts';
import { Budget } from './budget.ts';
import { SlabPool } from './slab-pool.ts';
import { SpooledMessage, type SpoolOptions } from './spooled-message.ts';

export { SpoolError, type SpoolOptions } from './spooled-message.ts';

/**
 * Where messages wait for their signature: memory up to a bound, then a file that is unlinked
 * before the first octet is written, so nothing stays behind however the process ends.
 */
export class Spool {
  readonly options: SpoolOptions;
  readonly memory: Budget;
  readonly disk: Budget;
  readonly slabs = new SlabPool();
  readonly #clock: Clock;

  constructor(options: SpoolOptions, clock: Clock) {
    this.options = options;
    this.#clock = clock;
    this.memory = new Budget(options.memoryBytes, clock);
    this.disk = new Budget(options.diskBytes, clock);
  }

  /** Begins a message. The caller must `release` it, whatever happens. */
  open(): SpooledMessage {
    return new SpooledMessage(this.options, this.memory, this.disk, this.slabs, this.#clock);
  }
}
