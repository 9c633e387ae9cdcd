import type { BackendName } from '../keys/backend-names.ts';
import type { KeyAlgorithm } from '../keys/key-algorithm.ts';
import type { Advance, AdvanceOptions } from '../keys/lifecycle/advance.ts';
import type { StepWishes } from '../keys/lifecycle/step-work.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { type IgnoreServerOptions, ignoredServers } from './keys-ignore-server.ts';
import type { LifecycleRun } from './keys-lifecycle.ts';
import { exitCodeOf, nextJson, nextTexts, outcomeJson, writeOutcome } from './keys-step-report.ts';

/** Options of `keys rotate`. */
export interface RotateOptions extends IgnoreServerOptions {
  readonly step: boolean;
  readonly due: boolean;
  readonly again: boolean;
  readonly algorithm?: readonly KeyAlgorithm[];
  readonly backend?: BackendName;
  readonly regions?: readonly string[];
  readonly ttl?: number;
  readonly force: boolean;
  /** False: `--no-destroy`. */
  readonly destroy: boolean;
  readonly timeout: number;
  readonly max: number;
  readonly concurrency: number;
  readonly stopAfterFailures: number;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** Between two looks at DNS. */
const POLL_MS = 15_000;

/** What the options say of new keys. */
export function rotateWishes(options: RotateOptions): Partial<StepWishes> {
  const { algorithm, backend, regions, ttl, force, destroy } = options;
  return {
    algorithms: (algorithm ?? []).map((row) => row.name),
    backend,
    regions,
    force,
    noDestroy: !destroy,
    seen: ignoredServers(options),
    ttlS: ttl,
  };
}

/** How the steps are taken. */
export function advanceOptions(options: RotateOptions): AdvanceOptions {
  const mode = options.step ? 'step' : 'to-active';
  return { mode, timeoutMs: options.timeout, pollMs: POLL_MS };
}

/** Done, when the wish is fulfilled; else what keeps it from that. */
export function advanceCode(advanced: Advance): ExitCode {
  const tried = exitCodeOf(advanced.outcomes.map(({ result }) => result));
  if (tried !== EXIT.ok || advanced.fulfilled !== undefined) return tried;
  // That an old key has to stay for some days is nothing that this run waits for.
  const open = advanced.rest.filter(({ step }) => step !== 'revoke' && step !== 'destroy');
  if (open.some((step) => step.kind === 'operator')) return EXIT.refused;
  return open.some((step) => step.kind === 'waiting') ? EXIT.waiting : EXIT.ok;
}

/** For programs. */
export function advanceJson(domain: string, advanced: Advance) {
  return {
    domain,
    outcomes: advanced.outcomes.map(outcomeJson),
    fulfilled: advanced.fulfilled ?? null,
    keys: advanced.entry.keys.map(({ selector, state }) => ({ selector, state })),
    next: advanced.rest.map(nextJson),
  };
}

/** For people. */
export function writeAdvance(
  run: Pick<LifecycleRun, 'context'>,
  domain: string,
  advanced: Advance,
  withNotes: boolean,
): void {
  const told = new Set<string>();
  for (const outcome of advanced.outcomes) {
    const notes = withNotes ? outcome.notes.filter((text) => !told.has(text)) : [];
    writeOutcome(run.context, { ...outcome, notes });
    for (const text of notes) told.add(text);
  }
  if (advanced.fulfilled !== undefined && advanced.outcomes.length === 0) {
    run.context.stdout(
      `${domain}: nothing to do: ${advanced.fulfilled}; --again rotates nevertheless\n`,
    );
  }
  for (const text of nextTexts(domain, advanced.rest)) run.context.stdout(`next: ${text}\n`);
}
