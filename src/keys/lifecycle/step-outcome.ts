import type { ManifestDomain } from '../manifest.ts';
import type { StepName } from './next-steps.ts';

/** What else a command may do to keys, besides the steps of a rotation. */
export type ActionName =
  | StepName
  | 'retire'
  | 'abort'
  | 'cancel-destroy'
  | 'rollback'
  | 'emergency'
  | 'rotate';

/** How carrying out a step went. */
export type StepResult =
  | { readonly kind: 'done' }
  /** The entry had changed: the step is not due any more. */
  | { readonly kind: 'overtaken' }
  /** `atMs`: milliseconds since the epoch; undefined: nobody knows. */
  | { readonly kind: 'waiting'; readonly why: string; readonly atMs: number | undefined }
  /** Refused, or left to a person; nothing goes on before `action` is done. */
  | { readonly kind: 'operator'; readonly why: string; readonly action: string }
  /** Trying again may help. */
  | { readonly kind: 'failed'; readonly why: string; readonly action: string };

/** The same with what it was about. */
export interface StepOutcome {
  readonly domain: string;
  readonly step: ActionName;
  readonly selectors: readonly string[];
  readonly result: StepResult;
  /** The entry as it stands now. */
  readonly entry: ManifestDomain;
  /** What else to say, one text each. */
  readonly notes: readonly string[];
}
