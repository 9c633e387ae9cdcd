import { WaxsealError } from '../base/errors.ts';

/** One thing that is wrong, or doubtful, in the configuration. */
export interface ConfigProblem {
  /** The setting, e.g. `limits.sessions` or `route[0].hosts`; empty for the file as a whole. */
  readonly key: string;
  /** `FILE:LINE`, the name of an environment variable, or `default`. */
  readonly where: string;
  /** What is wrong and what to do, in one line, without secrets. */
  readonly message: string;
}

/** The configuration cannot be used. Holds every problem that was found, not only the first. */
export class ConfigError extends WaxsealError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const list = problems.map((problem) => `  ${renderProblem(problem)}`).join('\n');
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
    super('config-invalid', `The configuration has ${count}:\n${list}`, {
      hint: 'Every setting is described by: waxseal config docs',
    });
    this.problems = problems;
  }
}

/** `FILE:LINE: key: message`, for people. */
export function renderProblem(problem: ConfigProblem): string {
  return [problem.where, problem.key, problem.message].filter((part) => part !== '').join(': ');
}
