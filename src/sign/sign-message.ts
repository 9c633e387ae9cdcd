import type { HeaderField } from '../mail/header-fields.ts';
import { type SigningKey, substituteOf } from '../mail/signer.ts';
import {
  canonicalizations,
  type SignatureOptions,
  signedField,
  unsignedField,
} from './dkim-signature.ts';
import { canonicalHeader } from './header-canonicalization.ts';
import { SigningError } from './signing-error.ts';

/** A message that is to be signed. */
export interface MessageToSign {
  /** All fields from top to bottom as they will be sent, those that Waxseal adds included. */
  readonly fields: readonly HeaderField[];
  /** SHA-256 of the body, in the body canonicalisation of the options. */
  readonly bodyHash: Buffer;
  /** One signature is made for each; at least one. */
  readonly keys: readonly SigningKey[];
  readonly options: SignatureOptions;
  /** Time of the signatures, `t=`, seconds since the epoch. */
  readonly nowS: number;
  /** Ends the wait for remote signers. */
  readonly signal?: AbortSignal | undefined;
  /**
   * The keys that would sign now: a remote signer may have taken half a minute to fail, and what was to
   * sign in its place then may be revoked by now. Default: as given.
   */
  readonly keysNow?: (() => readonly SigningKey[]) | undefined;
  /** Hears of a key in whose place another signed. */
  readonly onSubstitute?: ((key: SigningKey, used: SigningKey) => void) | undefined;
}

/**
 * Signs a message with all its keys at the same time (RFC 6376 section 5, RFC 8463).
 *
 * @returns the DKIM-Signature fields, in the order of the keys, to be put on top of the message
 * @throws SigningError when one of the signatures cannot be had: it is all of them or none
 */
export async function signMessage(message: MessageToSign): Promise<Buffer> {
  const { names, fields } = message.options.selection.select(message.fields);
  const { header } = canonicalizations(message.options);
  const signedHeader = canonicalHeader(header, fields);
  const fieldOf = async (key: SigningKey) => {
    const unsigned = unsignedField(key, names, message.bodyHash, message.nowS, message.options);
    const octets = Buffer.from(signedHeader + unsigned.canonical, 'latin1');
    return signedField(unsigned, await signatureOf(key, octets, message.signal));
  };
  const signatures = message.keys.map(async (key) => {
    try {
      return await fieldOf(key);
    } catch (error) {
      const cause = error instanceof SigningError ? error.cause : undefined;
      const now = message.keysNow?.() ?? message.keys;
      const current = now.find((one) => isSameName(one, key));
      const substitute = current && substituteOf(current, cause);
      if (substitute === undefined) throw error;
      const field = await fieldOf(substitute);
      message.onSubstitute?.(key, substitute);
      return field;
    }
  });
  return Buffer.concat(await Promise.all(signatures));
}

function isSameName(one: SigningKey, other: SigningKey): boolean {
  return one.domain === other.domain && one.selector === other.selector;
}

async function signatureOf(
  key: SigningKey,
  octets: Buffer,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const which = `${key.selector}._domainkey.${key.domain} (${key.signer.algorithm})`;
  let signature: Buffer;
  try {
    signature = await key.signer.sign(octets, signal);
  } catch (cause) {
    throw new SigningError(`Signing with ${which} failed`, cause);
  }
  // A short or empty `b=` would leave as a signature that fails everywhere.
  if (signature.length !== key.signatureBytes) {
    const text = `Signing with ${which} gave ${signature.length} octets, not ${key.signatureBytes}`;
    throw new SigningError(text, undefined);
  }
  return signature;
}
