import { WaxsealError } from '../base/errors.ts';

/** A message could not be signed now. The client hears 451 4.7.5; nothing of it has left. */
export class SigningError extends WaxsealError {
  /**
   * @param message which domain and selector
   * @param cause what the signer threw
   */
  constructor(message: string, cause: unknown) {
    super('signing-failed', message, { cause });
  }
}
