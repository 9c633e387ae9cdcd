import { errorMessage, WaxsealError } from '../base/errors.ts';
import { advance } from '../keys/lifecycle/advance.ts';
import { activeKeys, timeOf } from '../keys/lifecycle/key-changes.ts';
import { type DomainResult, rotateMany } from '../keys/lifecycle/rotate-many.ts';
import { stepsNow } from '../keys/lifecycle/step-work.ts';
import type { ManifestDomain } from '../keys/manifest.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { LifecycleRun } from './keys-lifecycle.ts';
import {
  advanceCode,
  advanceJson,
  advanceOptions,
  type RotateOptions,
  rotateWishes,
  writeAdvance,
} from './keys-rotate-report.ts';
import { nextText } from './keys-step-report.ts';

/**
 * `keys rotate --due`: one pass over the domains finds those that have a step due; they are taken
 * in the order of their age, results are written as they come. With `--json` each is one line.
 */
export async function rotateDue(run: LifecycleRun, options: RotateOptions): Promise<ExitCode> {
  const due: ManifestDomain[] = [];
  for (const entry of run.snapshot.domains.values()) {
    const steps = await stepsNow(run.work(entry.domain, rotateWishes(options)), entry);
    if (!steps.some((step) => step.kind === 'due')) continue;
    due.push(entry);
    if (!options.dryRun || due.length > options.max) continue;
    for (const step of steps.filter(({ kind }) => kind === 'due')) {
      writeLine(run, { domain: entry.domain, step: step.step }, nextText(entry.domain, step));
    }
  }
  if (options.dryRun) return EXIT.ok;
  due.sort((one, other) => ageOrder(one) - ageOrder(other));
  const codes = new Set<ExitCode>();
  const summary = await rotateMany(
    due,
    options,
    async (entry) => {
      const work = run.work(entry.domain, rotateWishes(options));
      return await advance(work, entry, advanceOptions(options));
    },
    (result) => codes.add(report(run, result, options.step)),
  );
  const { taken, failed, left, stopped } = summary;
  const text = `${taken} domain(s) taken, ${failed} failed, ${left} due and left`;
  writeLine(run, { summary }, stopped ? `${text}: stopped after failures` : text);
  const order = [EXIT.failed, EXIT.refused, EXIT.waiting];
  return order.find((code) => codes.has(code)) ?? EXIT.ok;
}

/** The oldest keys first; domains without active keys before them. */
function ageOrder(entry: ManifestDomain): number {
  return Math.min(...activeKeys(entry).map((key) => timeOf(key.activatedAt) ?? 0));
}

function report(run: LifecycleRun, result: DomainResult, withNotes: boolean): ExitCode {
  const { domain } = result;
  if (result.kind === 'advanced') {
    if (run.json) writeLine(run, advanceJson(domain, result.advance), '');
    else writeAdvance(run, domain, result.advance, withNotes);
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

/** One line: an object for programs, or a text. */
function writeLine(run: LifecycleRun, value: unknown, text: string): void {
  run.context.stdout(run.json ? `${JSON.stringify(value)}\n` : `${text}\n`);
}
