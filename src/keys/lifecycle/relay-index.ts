import type { Clock } from '../../base/clock.ts';
import { isAlive, type RelayReport } from '../store/relay-reports.ts';

/** What relays say of the keys of one domain. */
export interface RelayView {
  /**
   * By selector, who cannot use the key and why; empty: all relays that are alive can. No entry:
   * some have not tried it, or none reports.
   */
  readonly complaints: ReadonlyMap<string, readonly string[]>;
}

const NOTHING: RelayView = { complaints: new Map() };
/** Relays report every few seconds; with 10,000 domains each asking anew would take all the time. */
const FRESH_MS = 2000;

interface Trials {
  tried: number;
  readonly complaints: string[];
}

/**
 * The relays' reports by domain, read at most once in a while. Reports of relays that are gone
 * count for nothing.
 */
export class RelayIndex {
  readonly #read: () => Promise<readonly RelayReport[]>;
  readonly #clock: Clock;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #views: Promise<ReadonlyMap<string, RelayView>> = Promise.resolve(new Map());

  constructor(read: () => Promise<readonly RelayReport[]>, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
  }

  async of(domain: string): Promise<RelayView> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#readAtMs >= FRESH_MS) {
      this.#readAtMs = nowMs;
      this.#views = this.#index();
    }
    return (await this.#views).get(domain) ?? NOTHING;
  }

  async #index(): Promise<ReadonlyMap<string, RelayView>> {
    const nowMs = this.#clock.wallMs();
    const alive = (await this.#read()).filter((report) => isAlive(report, nowMs));
    const domains = new Map<string, Map<string, Trials>>();
    for (const report of alive) {
      for (const { domain, selector, usable, reason } of report.keys) {
        const trials = domains.get(domain) ?? new Map<string, Trials>();
        domains.set(domain, trials);
        const trial = trials.get(selector) ?? { tried: 0, complaints: [] };
        trials.set(selector, trial);
        trial.tried += 1;
        if (!usable)
          trial.complaints.push(`${report.relay}: ${selector} ${reason ?? 'cannot be used'}`);
      }
    }
    const views = new Map<string, RelayView>();
    for (const [domain, trials] of domains) {
      const known = [...trials].filter(
        ([, { tried, complaints }]) => tried === alive.length || complaints.length > 0,
      );
      const complaints = new Map(known.map(([selector, trial]) => [selector, trial.complaints]));
      views.set(domain, { complaints });
    }
    return views;
  }
}
