/**
 * What a command gets from the frame around it (`src/cli.ts`). Commands read no environment, write
 * to no stream directly and never end the process, so tests can run them as functions.
 *
 * `Settings` is the slice of the configuration that a command needs; the whole configuration fits
 * wherever a slice is asked for.
 */
export interface CliContext<Settings = unknown> {
  /** Writes text as it is (line ends included) to standard output. */
  readonly stdout: (text: string) => void;
  /** Writes text as it is (line ends included) to standard error. */
  readonly stderr: (text: string) => void;
  /** True when standard output is a terminal: colours and progress lines are allowed. */
  readonly isTty: boolean;
  /** The window of that terminal now; undefined, or zeros: it does not tell. */
  readonly windowSize?: (() => WindowSize | undefined) | undefined;
  /**
   * Reads and checks the configuration (file, environment, `--config`); the same one each time.
   *
   * @throws WaxsealError with a code that starts in `config-`
   */
  loadConfig(): Promise<Settings>;
  /** Sets the exit code of the process; see `exit-codes.ts`. The last call counts. */
  setExitCode(code: number): void;
}

/** In characters. */
export interface WindowSize {
  readonly columns: number;
  readonly rows: number;
}
