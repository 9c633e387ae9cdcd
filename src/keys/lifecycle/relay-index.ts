import type { Clock } from '../../base/clock.ts';
import { isAlive, type RelayReport } from '../store/relay-reports.ts';

/** What relays say of the keys of one domain. */
export interface RelayView {
  /**
   * By selector, who cannot use the key and why; empty: all relays that are alive can. No entry:
   * some have not tried it, or none reports.
   */
  readonly complaints: ReadonlyMap<string, readonly string[]>;
  /**
   * When a relay, be it gone by now, signed last with a retiring key in place of its successor:
   * milliseconds since the epoch; undefined: none says that it did.
   */
  stoodInMs(selector: string): number | undefined;
}

/** All reports, by domain. */
interface Index {
  readonly complaints: ReadonlyMap<string, RelayView['complaints']>;
  readonly standIns: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Of keys for which reports had no room; undefined: they had room for all. */
  readonly othersMs: number | undefined;
}

const EMPTY: Index = { complaints: new Map(), standIns: new Map(), othersMs: undefined };
/** Relays report every few seconds; with 10,000 domains each asking anew would take all the time. */
const FRESH_MS = 2000;

interface Trials {
  tried: number;
  readonly complaints: string[];
}

/**
 * The relays' reports by domain, read at most once in a while. What relays that are gone could use
 * counts for nothing; what they signed does.
 */
export class RelayIndex {
  readonly #read: () => Promise<readonly RelayReport[]>;
  readonly #clock: Clock;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #latest: Promise<Index> = Promise.resolve(EMPTY);

  constructor(read: () => Promise<readonly RelayReport[]>, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
  }

  async of(domain: string): Promise<RelayView> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#readAtMs >= FRESH_MS) {
      this.#readAtMs = nowMs;
      this.#latest = this.#index();
    }
    const { complaints, standIns, othersMs } = await this.#latest;
    return {
      complaints: complaints.get(domain) ?? new Map(),
      stoodInMs: (selector) => latest(standIns.get(domain)?.get(selector), othersMs),
    };
  }

  async #index(): Promise<Index> {
    const nowMs = this.#clock.wallMs();
    const reports = await this.#read();
    const alive = reports.filter((report) => isAlive(report, nowMs));
    return { complaints: complaintsOf(alive), ...standInsOf(reports, nowMs) };
  }
}

function complaintsOf(alive: readonly RelayReport[]): Index['complaints'] {
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
  const all = new Map<string, RelayView['complaints']>();
  for (const [domain, trials] of domains) {
    const known = [...trials].filter(
      ([, { tried, complaints }]) => tried === alive.length || complaints.length > 0,
    );
    all.set(domain, new Map(known.map(([selector, trial]) => [selector, trial.complaints])));
  }
  return all;
}

/** A relay's clock may be ahead; nothing was signed after now. */
function standInsOf(
  reports: readonly RelayReport[],
  nowMs: number,
): Pick<Index, 'standIns' | 'othersMs'> {
  const standIns = new Map<string, Map<string, number>>();
  let othersMs: number | undefined;
  const timeOf = (at: string) => Math.min(Date.parse(at), nowMs);
  for (const { standIns: listed = [], standInsMoreAt } of reports) {
    for (const { domain, selector, at } of listed) {
      const times = standIns.get(domain) ?? new Map<string, number>();
      standIns.set(domain, times);
      times.set(selector, Math.max(timeOf(at), times.get(selector) ?? 0));
    }
    if (standInsMoreAt !== undefined) othersMs = latest(timeOf(standInsMoreAt), othersMs);
  }
  return { standIns, othersMs };
}

function latest(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.max(one, other);
}
