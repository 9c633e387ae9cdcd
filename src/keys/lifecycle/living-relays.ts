import type { Clock } from '../../base/clock.ts';
import { isAlive, isEnded, newestByHost, type RelayReport } from '../store/relay-reports.ts';
import { daysText } from './policy.ts';

/**
 * Which relays go on, as far as their reports tell. A report says until when it is good by the
 * clock of its relay, and that may be another time here: so who looks again and again goes by what
 * changes too, and a report that is old but not very old is in doubt.
 */
export interface SortedReports {
  readonly alive: readonly RelayReport[];
  /** Of relays that are gone, cut off, or whose clocks are behind ours. */
  readonly inDoubt: readonly RelayReport[];
  /** What is to be said of clocks, one text each. */
  readonly wrongClocks: readonly string[];
}

/** A report that changed goes on to be good for so long, whatever its times are. */
const CHANGED_GOOD_MS = 90_000;
/** No clock is further behind than this: neither AWS nor DKIM would work. */
const MAX_DOUBT_MS = 86_400_000;

/** A report that was written just now may be so much later than now. */
const CLOCK_TOLERANCE_MS = 60_000;

interface Seen {
  readonly at: string;
  /** Monotonic; undefined: it has not changed since it was first seen. */
  readonly changedMs: number | undefined;
}

export class LivingRelays {
  readonly #clock: Clock;
  readonly #seen = new Map<string, Seen>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  sort(reports: readonly RelayReport[]): SortedReports {
    const wallMs = this.#clock.wallMs();
    const alive: RelayReport[] = [];
    const others: RelayReport[] = [];
    const wrongClocks: string[] = [];
    for (const report of reports) {
      const isMoving = this.#isMoving(report);
      if (isEnded(report)) continue;
      const isTimely = isAlive(report, wallMs);
      (isMoving || isTimely ? alive : others).push(report);
      const aheadMs = Date.parse(report.at) - wallMs;
      if (aheadMs > CLOCK_TOLERANCE_MS || (isMoving && !isTimely)) {
        wrongClocks.push(clockText(report.relay, aheadMs));
      }
    }
    const inDoubt = others.filter(
      ({ goodUntil }) => wallMs - Date.parse(goodUntil) <= MAX_DOUBT_MS,
    );
    // Two relays of one host have one clock: where the later one is seen to go on, the other is gone.
    const newest = newestByHost(alive);
    return {
      alive,
      inDoubt: inDoubt.filter(({ host, startedAt }) => startedAt >= (newest.get(host) ?? '')),
      wrongClocks,
    };
  }

  #isMoving({ relay, at }: RelayReport): boolean {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#seen.get(relay);
    const isChanged = before !== undefined && before.at !== at;
    const changedMs = isChanged ? nowMs : before?.changedMs;
    this.#seen.set(relay, { at, changedMs });
    return changedMs !== undefined && nowMs - changedMs < CHANGED_GOOD_MS;
  }
}

function clockText(relay: string, aheadMs: number): string {
  const side = aheadMs > 0 ? 'ahead of' : 'behind';
  return `the clock of relay ${relay} is ${daysText(Math.abs(aheadMs))} ${side} that of this machine; one of the two is wrong`;
}
