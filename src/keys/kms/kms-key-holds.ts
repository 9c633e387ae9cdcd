import type { Clock } from '../../base/clock.ts';
import type { KmsError } from './kms-fault.ts';

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

interface Hold {
  readonly error: KmsError;
  readonly untilMs: number;
  readonly pauseMs: number;
}

/**
 * Faults that are held against one key: disabled, forbidden, gone, a wrong signature. Such a key is
 * asked again after a pause that grows to a minute, so that it costs neither calls nor time of the
 * others, and comes back by itself when somebody has put it right.
 */
export class KmsKeyHolds {
  readonly #clock: Clock;
  readonly #alert: (message: string) => void;
  readonly #holds = new Map<string, Hold>();

  constructor(clock: Clock, alert: (message: string) => void) {
    this.#clock = clock;
    this.#alert = alert;
  }

  /** @returns why the key is left alone now */
  against(arn: string): KmsError | undefined {
    const hold = this.#holds.get(arn);
    return hold !== undefined && this.#clock.monotonicMs() < hold.untilMs ? hold.error : undefined;
  }

  /** Such a fault until the key has signed again, whether it is left alone now or not. */
  suspicion(arn: string): KmsError | undefined {
    return this.#holds.get(arn)?.error;
  }

  /** @param name for the operator: domain and selector */
  failed(arn: string, name: string, error: KmsError): void {
    const before = this.#holds.get(arn);
    const now = this.#clock.monotonicMs();
    // Calls that ran side by side fail side by side; they count once.
    if (before !== undefined && now < before.untilMs) return;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, (before?.pauseMs ?? FIRST_PAUSE_MS / 2) * 2);
    this.#holds.set(arn, { error, untilMs: now + pauseMs, pauseMs });
    if (before?.error.kind === error.kind) return;
    const hint = error.hint === undefined ? '' : ` (${error.hint})`;
    this.#alert(`${name} cannot sign: ${error.message}${hint}`);
  }

  succeeded(arn: string, name: string): void {
    if (this.#holds.delete(arn)) this.#alert(`${name} can sign again`);
  }
}
