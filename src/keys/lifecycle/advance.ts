import type { ManifestDomain } from '../manifest.ts';
import { isoTime } from './key-changes.ts';
import { underLease } from './leased-domain.ts';
import { note } from './lifecycle-access.ts';
import type { NextStep } from './next-steps.ts';
import { daysText } from './policy.ts';
import { RotationWatch } from './rotation-watch.ts';
import { wishState } from './rotation-wish.ts';
import { runStep, STEP_ROWS } from './run-step.ts';
import { noteStandIns } from './stand-in-times.ts';
import type { StepOutcome, StepResult } from './step-outcome.ts';
import { type StepWork, stepsNow } from './step-work.ts';

/**
 * Takes the steps of one domain. `step`: each one that is due, none twice, and never waits: what a
 * scheduled job runs. `to-active`: those of the new keys until they sign, waiting in between
 * without holding anything.
 */
export interface AdvanceOptions {
  readonly mode: 'step' | 'to-active';
  /** How long `to-active` may take in all, in milliseconds. */
  readonly timeoutMs: number;
  /** How often DNS is asked while something is waited for, in milliseconds. */
  readonly pollMs: number;
}

export interface Advance {
  readonly entry: ManifestDomain;
  /** What was done and what could not be done, in order; a step that was tried again stands once. */
  readonly outcomes: readonly StepOutcome[];
  /** What lies ahead. */
  readonly rest: readonly NextStep[];
  /** Why the wish for a rotation needs nothing more; undefined when it does, or was none. */
  readonly fulfilled: string | undefined;
}

const FRESH_STEPS: ReadonlySet<string> = new Set(['create', 'publish', 'verify', 'activate']);
/** A guard against going round for ever. */
const MAX_ROUNDS = 500;
/** A step that somebody else took meanwhile is decided anew; so often in a row, and no more. */
const MAX_OVERTAKEN = 10;

/** Faults and refusals of a step are outcomes; the other steps are taken all the same. */
export async function advance(
  work: StepWork,
  start: ManifestDomain,
  options: AdvanceOptions,
): Promise<Advance> {
  const { clock } = work.access;
  const deadlineMs = clock.monotonicMs() + options.timeoutMs;
  const isStep = options.mode === 'step';
  const course = new Course(work, !isStep);
  // Steps without waits take seconds, and the lease is taken away from the one that writes.
  const watch = isStep ? undefined : new RotationWatch(work.access, start);
  let entry = await noteStandIns(work, await begin(work, start));
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const stopped = await watch?.stop();
    if (stopped !== undefined) {
      const { domain } = entry;
      const outcome = { domain, step: 'rotate', selectors: [], entry, notes: [] } as const;
      course.outcomes.push({ ...outcome, result: stopped });
      break;
    }
    if (!isStep && fulfilledBy(work, entry) !== undefined) break;
    const steps = (await stepsNow(work, entry)).filter(
      ({ step }) => isStep || FRESH_STEPS.has(step),
    );
    const next = steps.find((step) => step.kind === 'due' && !course.tried.has(nameOf(step)));
    if (next !== undefined) {
      if (work.access.interruption?.heed() === true) break;
      entry = await course.take(entry, next);
      continue;
    }
    if (isStep || course.outcomes.some(({ result }) => isFinal(result))) break;
    if (steps.some((step) => step.kind === 'operator')) break;
    const waitMs = waitFor(steps, clock.wallMs(), options.pollMs);
    if (clock.monotonicMs() + waitMs > deadlineMs) break;
    if (work.access.interruption?.heed() === true) break;
    course.tellWait(entry.domain, steps, waitMs);
    await work.access.sleep(waitMs);
    course.tried.clear();
  }
  const fulfilled = fulfilledBy(work, entry);
  const rest = (await stepsNow(fulfilled === undefined ? work : wishless(work), entry)).filter(
    (step) => step.kind !== 'due' || !course.tried.has(nameOf(step)),
  );
  // Somebody else may have done meanwhile what was waited for here.
  const isOver = ({ step, result }: StepOutcome) =>
    fulfilled !== undefined && result.kind === 'waiting' && FRESH_STEPS.has(step);
  const outcomes = course.outcomes.filter((outcome) => !isOver(outcome));
  return { entry, outcomes, rest, fulfilled };
}

/** What lies ahead once a wish is fulfilled: when the keys will be old, among other things. */
function wishless(work: StepWork): StepWork {
  return { ...work, wishes: { ...work.wishes, wish: { kind: 'when-old' } } };
}

/** What was done so far. */
class Course {
  readonly outcomes: StepOutcome[] = [];
  /** Steps that are not taken again before the next wait. */
  readonly tried = new Set<string>();
  readonly #work: StepWork;
  readonly #tells: boolean;
  readonly #said = new Set<string>();
  #overtaken = 0;
  #wait = { text: '', againMs: 0 };

  /** @param tells notes at once; without waits they can be said in the end */
  constructor(work: StepWork, tells: boolean) {
    this.#work = work;
    this.#tells = tells;
  }

  /** @returns the entry as it stands then */
  async take(entry: ManifestDomain, next: NextStep): Promise<ManifestDomain> {
    const { access } = this.#work;
    access.progress(`${entry.domain}: ${STEP_ROWS[next.step].title}`);
    const outcome = await runStep(this.#work, entry, next);
    const isOvertaken = outcome.result.kind === 'overtaken';
    this.#overtaken = isOvertaken ? this.#overtaken + 1 : 0;
    if (this.#overtaken >= MAX_OVERTAKEN) this.tried.add(nameOf(next));
    if (isOvertaken) return outcome.entry;
    // Each look at DNS, of each key, says the same of the resolvers.
    const notes = [...new Set(outcome.notes)].filter((text) => !this.#said.has(text));
    keep(this.outcomes, { ...outcome, notes });
    for (const text of notes) {
      this.#said.add(text);
      if (this.#tells) access.progress(`${entry.domain}: ${text}`);
    }
    if (outcome.result.kind !== 'done') this.tried.add(nameOf(next));
    return outcome.entry;
  }

  /** Says what is waited for: when that changes, and now and then, so that it is seen to live. */
  tellWait(domain: string, steps: readonly NextStep[], waitMs: number): void {
    const { access } = this.#work;
    const nowMs = access.clock.monotonicMs();
    const text = waitText(steps, this.outcomes);
    if (text === this.#wait.text && nowMs < this.#wait.againMs) return;
    this.#wait = { text, againMs: nowMs + WAIT_TOLD_MS };
    access.progress(`${domain}: waiting, next look in ${daysText(waitMs)}${text}`);
  }
}

/** Notes in the manifest that the domain is being rotated, unless that is known or not wished. */
async function begin(work: StepWork, entry: ManifestDomain): Promise<ManifestDomain> {
  const { access, policy, wishes } = work;
  const isToBegin = (current: ManifestDomain) =>
    wishes.wish.kind === 'asked' &&
    current.rotatingSince === undefined &&
    wishState(current, policy, access.clock.wallMs(), wishes.wish).kind === 'open';
  // A domain without keys is entered by `create`, after what can be refused was refused.
  if (!isToBegin(entry) || entry.keys.length === 0) return entry;
  return await underLease(access, entry.domain, async (held) => {
    if (!isToBegin(held.entry)) return held.entry;
    await note(access, { event: 'rotation-begun', domain: entry.domain });
    const rotatingSince = isoTime(access.clock.wallMs());
    return await held.write((current) => ({ ...current, rotatingSince }));
  });
}

function fulfilledBy(work: StepWork, entry: ManifestDomain): string | undefined {
  const { policy, wishes, access } = work;
  const state = wishState(entry, policy, access.clock.wallMs(), wishes.wish);
  return state.kind === 'fulfilled' ? state.why : undefined;
}

function nameOf(step: NextStep): string {
  return `${step.step} ${step.selectors.join(' ')}`;
}

/** The last outcome of a step counts. */
function keep(outcomes: StepOutcome[], outcome: StepOutcome): void {
  const at = outcomes.findIndex(
    ({ step, selectors, result }) =>
      step === outcome.step &&
      result.kind !== 'done' &&
      selectors.some((selector) => outcome.selectors.includes(selector)),
  );
  if (at >= 0) outcomes.splice(at, 1);
  outcomes.push(outcome);
}

function isFinal(result: StepResult): boolean {
  return result.kind === 'operator' || result.kind === 'failed';
}

/** After so long the same is said again: who looks at a long wait sees that it goes on. */
const WAIT_TOLD_MS = 300_000;

/** Until the first step may go on, at most `pollMs`: a relay may report, an emergency be declared. */
function waitFor(steps: readonly NextStep[], nowMs: number, pollMs: number): number {
  return Math.max(1, Math.min(pollMs, (firstTime(steps) ?? Number.POSITIVE_INFINITY) - nowMs));
}

/** When the first waiting step may go on; undefined where one of them may at any time. */
function firstTime(steps: readonly NextStep[]): number | undefined {
  const times = steps.flatMap((step) => (step.kind === 'waiting' ? [step.atMs] : []));
  const known = times.filter((atMs) => atMs !== undefined);
  return times.length > 0 && known.length === times.length ? Math.min(...known) : undefined;
}

/** ` (until TIME): WHY; WHY` */
function waitText(steps: readonly NextStep[], outcomes: readonly StepOutcome[]): string {
  const told = outcomes.filter(({ result }) => result.kind === 'waiting');
  const waiting = steps.flatMap((step) => (step.kind === 'waiting' ? [step] : []));
  // What a step found out says more than why it is not due.
  const others = waiting.filter(({ step }) => !told.some((outcome) => outcome.step === step));
  const whys = [
    ...told.flatMap(({ result }) => (result.kind === 'waiting' ? [result.why] : [])),
    ...others.map(({ why }) => why),
  ];
  const atMs = firstTime(steps);
  const until = atMs === undefined ? '' : ` (until ${isoTime(atMs).replace(/\.\d+/, '')})`;
  return `${until}: ${[...new Set(whys)].join('; ')}`;
}
