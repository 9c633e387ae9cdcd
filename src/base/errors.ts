/**
 * Errors with stable codes. A foreign error is translated once, where it enters, with the original
 * kept as `cause`. Refusals towards a client are `Reply` values and not errors.
 */
export class WaxsealError extends Error {
  /** Stable, kebab-case, for programs and tests. */
  readonly code: string;
  /** What the operator can do about it; shown after the message. */
  readonly hint: string | undefined;

  /**
   * @param code stable kebab-case code, e.g. `config-invalid`
   * @param message what was wrong and where, without secrets
   */
  constructor(code: string, message: string, options?: { cause?: unknown; hint?: string }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options?.hint;
  }
}

/** The message of anything that was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
