import { printable } from '../base/printable.ts';
import type { NextStep } from '../keys/lifecycle/next-steps.ts';
import type { ActionName, StepOutcome, StepResult } from '../keys/lifecycle/step-outcome.ts';
import type { CliContext } from './context.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';

/** What was done, for people. */
const DONE_TEXTS: Readonly<Record<ActionName, string>> = {
  create: 'created',
  publish: 'published',
  verify: 'verified in DNS',
  activate: 'active',
  revoke: 'revoked',
  withdraw: 'withdrawn in DNS',
  destroy: 'destroyed',
  retire: 'retiring',
  abort: 'given up',
  'cancel-destroy': 'taken back: revoked again',
  rollback: 'active again',
  emergency: 'revoked and disabled',
  rotate: 'rotated',
};

/** Exit codes by what happened. */
const RESULT_CODES: Readonly<Record<StepResult['kind'], ExitCode>> = {
  done: EXIT.ok,
  overtaken: EXIT.ok,
  waiting: EXIT.waiting,
  failed: EXIT.failed,
  operator: EXIT.refused,
};

/** The code that says most: a person must act, else it failed, else it waits. */
export function exitCodeOf(results: readonly StepResult[]): ExitCode {
  return worstCode(results.map(({ kind }) => RESULT_CODES[kind]));
}

/** The one of several codes that says most. */
export function worstCode(codes: readonly ExitCode[]): ExitCode {
  const order = [EXIT.refused, EXIT.failed, EXIT.waiting];
  return order.find((code) => codes.includes(code)) ?? EXIT.ok;
}

/** What was done goes to standard output; what is missing, with the way on, to standard error. */
export function writeOutcome(
  context: Pick<CliContext, 'stdout' | 'stderr'>,
  outcome: StepOutcome,
): void {
  const { domain, result, selectors } = outcome;
  const keys = selectors.join(', ');
  const head = keys === '' ? domain : `${domain}: ${keys}`;
  switch (result.kind) {
    case 'done':
      context.stdout(`${head}: ${DONE_TEXTS[outcome.step]}\n`);
      break;
    case 'overtaken':
      context.stdout(`${head}: nothing to do, somebody else was faster\n`);
      break;
    case 'waiting': {
      const until = result.atMs === undefined ? '' : ` (until ${timeText(result.atMs)})`;
      context.stderr(`${head}: waiting${until}: ${printable(result.why, 4000)}\n`);
      break;
    }
    case 'operator':
    case 'failed': {
      const verb = result.kind === 'failed' ? 'failed' : 'not done';
      context.stderr(`${head}: ${outcome.step} ${verb}: ${printable(result.why, 4000)}\n`);
      context.stderr(`hint: ${printable(result.action, 1000)}\n`);
      break;
    }
  }
  for (const text of outcome.notes) context.stdout(`${text}\n`);
}

/** An outcome for programs. */
export function outcomeJson({ domain, step, selectors, result, notes }: StepOutcome) {
  const { kind: outcome, ...details } = result;
  const at = 'atMs' in details ? { at: timeJson(details.atMs) } : {};
  const { why, action } = { why: undefined, action: undefined, ...details };
  return { domain, step, selectors, outcome, why, action, ...at, notes };
}

/** What lies ahead, a line for each step; keys to which the same happens at the same time share one. */
export function nextTexts(domain: string, steps: readonly NextStep[]): readonly string[] {
  const groups = new Map<string, NextStep>();
  for (const step of steps) {
    const what = JSON.stringify({ ...step, selectors: [] });
    const others = groups.get(what)?.selectors ?? [];
    groups.set(what, { ...step, selectors: [...others, ...step.selectors] });
  }
  return [...groups.values()].map((step) => nextText(domain, step));
}

/** One step. */
export function nextText(domain: string, step: NextStep): string {
  const keys = step.selectors.join(', ');
  const where = step.backend === undefined ? '' : ` with ${step.backend}`;
  const what = keys === '' ? `${(step.algorithms ?? []).join(', ')}${where}` : keys;
  const subject = `${domain}: ${step.step}${what === '' ? '' : ` ${what}`}`;
  switch (step.kind) {
    case 'due':
      return `${subject}: due now`;
    case 'waiting':
      return `${subject}: ${step.atMs === undefined ? step.why : `${timeText(step.atMs)} (${step.why})`}`;
    case 'resting':
      return `${domain}: the next rotation is due at ${timeText(step.atMs)}`;
    case 'operator':
      return `${subject}: ${step.why}; ${step.action}`;
  }
}

/** The same for programs. */
export function nextJson(step: NextStep) {
  const { kind: when, ...rest } = step;
  const { atMs, ...others } = { atMs: undefined, ...rest };
  return {
    when,
    ...others,
    ...(when === 'waiting' || when === 'resting' ? { at: timeJson(atMs) } : {}),
  };
}

/** ISO 8601, or null where nobody knows. */
export function timeJson(wallMs: number | undefined): string | null {
  return wallMs === undefined ? null : new Date(wallMs).toISOString();
}

/** `2026-11-21 09:00:05Z` */
export function timeText(wallMs: number): string {
  return new Date(wallMs).toISOString().replace('T', ' ').replace(/\.\d+/, '');
}
