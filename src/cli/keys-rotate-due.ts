import { errorMessage, WaxsealError } from '../base/errors.ts';
import { BY_HAND } from '../keys/dns/publisher.ts';
import { type Advance, advance } from '../keys/lifecycle/advance.ts';
import { activeKeys, timeOf } from '../keys/lifecycle/key-changes.ts';
import type { NextStep, StepName } from '../keys/lifecycle/next-steps.ts';
import { type DomainResult, type ManySummary, rotateMany } from '../keys/lifecycle/rotate-many.ts';
import { isToBeNoted } from '../keys/lifecycle/stand-in-times.ts';
import { stepsNow } from '../keys/lifecycle/step-work.ts';
import type { ManifestDomain } from '../keys/manifest.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { noteIgnored } from './keys-ignore-server.ts';
import type { LifecycleRun } from './keys-lifecycle.ts';
import {
  advanceCode,
  advanceJson,
  advanceOptions,
  type RotateOptions,
  rotateWishes,
  writeAdvance,
} from './keys-rotate-report.ts';
import { nextJson, nextTexts } from './keys-step-report.ts';

/** A domain with what lies before it. */
interface Candidate {
  readonly entry: ManifestDomain;
  readonly steps: readonly NextStep[];
}

/**
 * `keys rotate --due`: one pass over the domains finds those that have a step due; they are taken
 * in the order of their age, results are written as they come. With `--json` each is one line.
 *
 * A domain that waits, for DNS or for its time, is how things are between two runs of a scheduled
 * job: it is counted, and the exit code is 0. One that nothing but a person can help is told each
 * time.
 */
export async function rotateDue(run: LifecycleRun, options: RotateOptions): Promise<ExitCode> {
  const due: Candidate[] = [];
  const codes = new Set<ExitCode>();
  for (const entry of run.snapshot.domains.values()) {
    const work = run.work(entry.domain, rotateWishes(options));
    const steps = await stepsNow(work, entry);
    const isToNote = !options.dryRun && (await isToBeNoted(work, entry));
    if (isToNote || steps.some((step) => step.kind === 'due')) due.push({ entry, steps });
    else if (tellStuck(run, entry, steps)) codes.add(EXIT.refused);
  }
  due.sort((one, other) => ageOrder(one.entry) - ageOrder(other.entry));
  if (options.dryRun) return plan(run, due, options);
  const { interruption } = run.access;
  const isStopped = () => interruption?.signal.aborted === true;
  const summary = await rotateMany(
    due.map(({ entry }) => entry),
    { ...options, isStopped },
    async (entry) => {
      const work = run.work(entry.domain, rotateWishes(options));
      await noteIgnored(run.access, entry.domain, options);
      return await advance(work, entry, advanceOptions(options));
    },
    (result) => codes.add(report(run, result, options.step)),
  );
  const isCutShort = isStopped() && summary.stopped;
  if (isCutShort) interruption?.heed();
  writeLine(run, { summary }, summaryText(summary, isCutShort));
  const order = [EXIT.failed, EXIT.refused];
  return order.find((code) => codes.has(code)) ?? EXIT.ok;
}

function plan(run: LifecycleRun, due: readonly Candidate[], options: RotateOptions): ExitCode {
  for (const { entry, steps } of due.slice(0, options.max)) {
    const { domain } = entry;
    const now = steps.filter(({ kind }) => kind === 'due');
    if (run.json) for (const step of now) writeLine(run, { domain, ...nextJson(step) }, '');
    else for (const text of nextTexts(domain, now)) run.context.stdout(`${text}\n`);
  }
  if (due.length === 0 && !run.json) run.context.stdout('nothing is due\n');
  const left = due.length - options.max;
  if (left > 0 && !run.json) run.context.stdout(`${left} more domain(s) are due (--max)\n`);
  return EXIT.ok;
}

const TAIL_STEPS: ReadonlySet<StepName> = new Set(['revoke', 'withdraw', 'destroy']);

/** Says what no run will ever do by itself. New keys that were made by hand are left to that hand. */
function tellStuck(
  run: LifecycleRun,
  { domain, rotatingSince }: ManifestDomain,
  steps: readonly NextStep[],
): boolean {
  const stuck = steps.filter(
    ({ kind, step }) =>
      kind === 'operator' && (TAIL_STEPS.has(step) || rotatingSince !== undefined),
  );
  for (const step of stuck) {
    if (run.json) writeLine(run, { domain, ...nextJson(step) }, '');
  }
  for (const text of nextTexts(domain, stuck)) run.context.stderr(`${text}\n`);
  return stuck.length > 0;
}

function summaryText({ taken, failed, waiting, left, stopped }: ManySummary, cut: boolean): string {
  const waits = waiting === 0 ? '' : `, ${waiting} not over (the next run goes on)`;
  const text = `${taken} domain(s) taken, ${failed} failed${waits}, ${left} due and left`;
  if (!stopped) return text;
  return `${text}: ${cut ? 'interrupted' : 'stopped after failures'}`;
}

/** The oldest keys first; domains without active keys, whose mail gets 451, before them. */
function ageOrder(entry: ManifestDomain): number {
  const times = activeKeys(entry).map((key) => timeOf(key.activatedAt) ?? 0);
  return times.length > 0 ? Math.min(...times) : -1;
}

function report(run: LifecycleRun, result: DomainResult, withNotes: boolean): ExitCode {
  const { domain } = result;
  if (result.kind === 'advanced') {
    if (run.json) writeLine(run, advanceJson(domain, result.advance), '');
    else writeAdvance(run, domain, result.advance, withNotes);
    if (isForPerson(result.advance)) {
      run.context.stderr(`${domain}: the records are for you to put into DNS\n`);
      run.context.stderr(`hint: "waxseal keys export-dns ${domain}" prints them\n`);
      return EXIT.refused;
    }
    return advanceCode(result.advance);
  }
  const { error } = result;
  const known = error instanceof WaxsealError ? error : undefined;
  const message = errorMessage(error);
  if (run.json) {
    const code = known?.code ?? 'unexpected';
    writeLine(run, { domain, error: { code, message, hint: known?.hint } }, '');
  }
  run.context.stderr(`${domain}: failed: ${message}\n`);
  if (known?.hint !== undefined) run.context.stderr(`hint: ${known.hint}\n`);
  return EXIT.failed;
}

/** A record that nobody but a person writes, and that no server shows yet. */
function isForPerson({ entry, outcomes }: Advance): boolean {
  const unseen = entry.keys.filter(
    (key) => key.state === 'published' && key.publisher === BY_HAND && key.verifiedAt === undefined,
  );
  return outcomes.some(
    ({ step, selectors, result }) =>
      step === 'verify' &&
      result.kind === 'waiting' &&
      unseen.some((key) => selectors.includes(key.selector)),
  );
}

/** One line: an object for programs, or a text. */
function writeLine(run: LifecycleRun, value: unknown, text: string): void {
  run.context.stdout(run.json ? `${JSON.stringify(value)}\n` : `${text}\n`);
}
