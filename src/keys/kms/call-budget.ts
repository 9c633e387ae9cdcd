import type { Clock } from '../../base/clock.ts';

const DAY_MS = 86_400_000;
/** Part of the budget at which the operator hears of it. */
const ALERT_SHARE = 0.8;

/** Counts the calls of a day (UTC) and says when there were enough. */
export class CallBudget {
  readonly #clock: Clock;
  readonly #perDay: number;
  readonly #alert: (message: string) => void;
  #day = -1;
  #used = 0;

  /** @param perDay calls; 0: as many as it takes */
  constructor(clock: Clock, perDay: number, alert: (message: string) => void) {
    this.#clock = clock;
    this.#perDay = perDay;
    this.#alert = alert;
  }

  /** @returns false when the day's calls are used up; nothing is counted then */
  take(): boolean {
    if (this.#perDay === 0) return true;
    const day = Math.floor(this.#clock.wallMs() / DAY_MS);
    if (day !== this.#day) {
      this.#day = day;
      this.#used = 0;
    }
    if (this.#used >= this.#perDay) return false;
    this.#used += 1;
    const left = this.#perDay - this.#used;
    if (this.#used === Math.ceil(this.#perDay * ALERT_SHARE)) {
      this.#alert(
        `${this.#used} of the ${this.#perDay} KMS calls of this day (kms.budget) are used, ${left} are left`,
      );
    }
    if (left === 0) this.#alert(`all ${this.#perDay} KMS calls of this day (kms.budget) are used`);
    return true;
  }
}
