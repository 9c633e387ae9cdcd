import { WaxsealError } from '../base/errors.ts';

/**
 * A fault of the keyring, of a key or of the master key. Codes start in `keyring-`, `manifest-`,
 * `key-` or `master-key-`. No message, hint or cause ever holds key material.
 */
export class KeysError extends WaxsealError {}

/** A refusal by a check: nothing was changed, and the operator has to act (see `hint`). */
export class KeysRefusal extends KeysError {}

/** A key cannot sign now; the message gets `451 4.7.5`. */
export class SigningError extends KeysError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('key-cannot-sign', message, options);
  }
}

/** The `code` of an error of the operating system, e.g. `ENOENT`. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** A file operation's failure in words that fit after the path. */
export function systemReason(error: unknown): string {
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'does not exist',
    EACCES: 'may not be read by this user',
    EPERM: 'may not be changed by this user',
    EISDIR: 'is a directory',
    ENOTDIR: 'lies under something that is no directory',
    ENOSPC: 'cannot be written: the disk is full',
    EROFS: 'cannot be written: the file system is read-only',
  };
  const code = systemCode(error);
  if (code === undefined) return 'cannot be used';
  return reasons[code] ?? `cannot be used (${code})`;
}
