import type { Clock } from '../../base/clock.ts';
import type { RelayReport } from '../store/relay-reports.ts';
import { LivingRelays, type SortedReports } from './living-relays.ts';

/** What relays say of the keys of one domain. */
export interface RelayView {
  /**
   * By selector, who cannot use the key and why; empty: all relays can, and one is alive. No
   * entry: some have not tried it, or may be gone without having done so, or none reports.
   */
  readonly complaints: ReadonlyMap<string, readonly string[]>;
  /** Does a relay that is alive say that it can use the key? */
  isUsable(selector: string): boolean;
  /**
   * When a relay, be it gone by now, signed last with a retiring key in place of its successor:
   * milliseconds since the epoch; undefined: none says that it did.
   */
  stoodInMs(selector: string): number | undefined;
}

/** All reports, by domain. */
interface Index {
  readonly trials: ReadonlyMap<string, ReadonlyMap<string, Trials>>;
  /** How many relays there are, those in doubt included. */
  readonly relays: number;
  readonly wrongClocks: readonly string[];
  readonly standIns: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Of keys for which reports had no room; undefined: they had room for all. */
  readonly othersMs: number | undefined;
}

const EMPTY: Index = {
  trials: new Map(),
  relays: 0,
  wrongClocks: [],
  standIns: new Map(),
  othersMs: undefined,
};
/** Relays report every few seconds; with 10,000 domains each asking anew would take all the time. */
const FRESH_MS = 2000;

interface Trials {
  tried: number;
  isUsable: boolean;
  readonly complaints: string[];
}

/**
 * The relays' reports by domain, read at most once in a while. What relays that are gone could use
 * counts for nothing; what they signed does.
 */
export class RelayIndex {
  readonly #read: () => Promise<readonly RelayReport[]>;
  readonly #clock: Clock;
  readonly #living: LivingRelays;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #latest: Promise<Index> = Promise.resolve(EMPTY);

  constructor(read: () => Promise<readonly RelayReport[]>, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
    this.#living = new LivingRelays(clock);
  }

  async of(domain: string): Promise<RelayView> {
    const { trials: all, relays, standIns, othersMs } = await this.#now();
    const trials = all.get(domain) ?? new Map<string, Trials>();
    return {
      complaints: complaintsOf(trials, relays),
      isUsable: (selector) => trials.get(selector)?.isUsable === true,
      stoodInMs: (selector) => latest(standIns.get(domain)?.get(selector), othersMs),
    };
  }

  /** Relays whose clocks are seen to be wrong, or ours is: one text each. */
  async wrongClocks(): Promise<readonly string[]> {
    return (await this.#now()).wrongClocks;
  }

  async #now(): Promise<Index> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#readAtMs >= FRESH_MS) {
      this.#readAtMs = nowMs;
      this.#latest = this.#index();
    }
    return await this.#latest;
  }

  async #index(): Promise<Index> {
    const nowMs = this.#clock.wallMs();
    const reports = await this.#read();
    const sorted = this.#living.sort(reports);
    const relays = sorted.alive.length + sorted.inDoubt.length;
    const { wrongClocks } = sorted;
    return { trials: trialsOf(sorted), relays, wrongClocks, ...standInsOf(reports, nowMs) };
  }
}

/** What a relay says that may be gone counts where it can use a key; else it has not tried it. */
function trialsOf({ alive, inDoubt }: SortedReports): Index['trials'] {
  const domains = new Map<string, Map<string, Trials>>();
  const doubtful = new Set(inDoubt);
  for (const report of [...alive, ...inDoubt]) {
    const isDoubtful = doubtful.has(report);
    for (const { domain, selector, usable, reason } of report.keys) {
      if (isDoubtful && !usable) continue;
      const trials = domains.get(domain) ?? new Map<string, Trials>();
      domains.set(domain, trials);
      const trial = trials.get(selector) ?? { tried: 0, isUsable: false, complaints: [] };
      trials.set(selector, trial);
      trial.tried += 1;
      trial.isUsable ||= usable && !isDoubtful;
      if (!usable)
        trial.complaints.push(`${report.relay}: ${selector} ${reason ?? 'cannot be used'}`);
    }
  }
  return domains;
}

function complaintsOf(
  trials: ReadonlyMap<string, Trials>,
  relays: number,
): RelayView['complaints'] {
  const known = [...trials].filter(
    ([, { tried, isUsable, complaints }]) =>
      (isUsable && tried === relays) || complaints.length > 0,
  );
  return new Map(known.map(([selector, trial]) => [selector, trial.complaints]));
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
