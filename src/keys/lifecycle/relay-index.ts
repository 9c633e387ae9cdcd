import type { Clock } from '../../base/clock.ts';
import type { RelayReport } from '../store/relay-reports.ts';

/** What relays say of the keys of one domain. */
export interface RelayView {
  /** By selector, who cannot use the key and why; empty: all can. No entry: nobody reports it. */
  readonly complaints: ReadonlyMap<string, readonly string[]>;
}

const NOTHING: RelayView = { complaints: new Map() };
/** Relays report every few seconds; with 10,000 domains each asking anew would take all the time. */
const FRESH_MS = 2000;

/**
 * The relays' reports by domain, read at most once in a while. A report that is older than
 * `maxStale` counts for nothing: that relay signs nothing any more.
 */
export class RelayIndex {
  readonly #read: () => Promise<readonly RelayReport[]>;
  readonly #clock: Clock;
  readonly #maxStaleMs: number;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #views: Promise<ReadonlyMap<string, RelayView>> = Promise.resolve(new Map());

  constructor(read: () => Promise<readonly RelayReport[]>, clock: Clock, maxStaleMs: number) {
    this.#read = read;
    this.#clock = clock;
    this.#maxStaleMs = maxStaleMs;
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
    const sinceMs = this.#clock.wallMs() - this.#maxStaleMs;
    const views = new Map<string, { complaints: Map<string, string[]> }>();
    for (const report of await this.#read()) {
      if (Date.parse(report.at) < sinceMs) continue;
      for (const { domain, selector, usable, reason } of report.keys) {
        const view = views.get(domain) ?? { complaints: new Map<string, string[]>() };
        views.set(domain, view);
        const complaints = view.complaints.get(selector) ?? [];
        view.complaints.set(selector, complaints);
        if (!usable) complaints.push(`${report.relay}: ${selector} ${reason ?? 'cannot be used'}`);
      }
    }
    return views;
  }
}
