/** What signs, seen from the outside; implemented by `keys/`, used by `sign/`. */

/** DKIM algorithm, the value of `a=` (RFC 6376 section 3.3, RFC 8463 section 3). */
export type DkimAlgorithm = 'rsa-sha256' | 'ed25519-sha256';

/** A private key that can sign, local or remote. */
export interface Signer {
  readonly algorithm: DkimAlgorithm;
  /** Signing waits for the network, so the wait needs a bound. */
  readonly remote: boolean;
  /**
   * Signs canonicalised header octets (RFC 6376 section 3.7). The signer hashes them itself:
   * RSA with SHA-256; Ed25519 signs the 32-octet SHA-256 (RFC 8463 section 3).
   * Never blocks the event loop.
   *
   * @param octets canonicalised header fields, the DKIM-Signature field with empty `b=` last
   * @param signal aborts the wait
   * @returns raw signature octets
   * @throws SigningError when the key cannot be used now
   */
  sign(octets: Buffer, signal?: AbortSignal): Promise<Buffer>;
  /** Why it cannot be used now, as far as was seen; for who looks after it, signing is tried anyway. */
  readonly trouble?: string | undefined;
}

/** An active key of a signing domain. */
export interface SigningKey {
  /** The signing domain, `d=`, as A-labels in lower case. */
  readonly domain: string;
  /** The selector, `s=`. */
  readonly selector: string;
  readonly signer: Signer;
  /** Octets of `b=` before base64: 256 for RSA-2048, 64 for Ed25519. For size estimates. */
  readonly signatureBytes: number;
  /** Signs under its own selector where the back end of this one does not answer. */
  readonly fallback?: SigningKey | undefined;
  /** The retiring key before it, whose record is still there: signs where this one is not to be had. */
  readonly predecessor?: SigningKey | undefined;
}

/** Which other key may sign instead of one that failed. */
export type Substitute = 'fallback' | 'predecessor';

/**
 * The key that may sign after this one failed so. Where somebody took the key or the permission
 * away, no key that was kept for outages takes its place: that would undo what was meant.
 */
export function substituteOf(key: SigningKey, error: unknown): SigningKey | undefined {
  if (!(error instanceof Error && 'substitute' in error)) return undefined;
  if (error.substitute === 'fallback') return key.fallback;
  return error.substitute === 'predecessor' ? key.predecessor : undefined;
}

/** What the keyring answers for a domain of the header From. */
export type SigningKeys =
  /** Sign with each of these (at most one for each algorithm). */
  | { readonly kind: 'keys'; readonly domain: string; readonly keys: readonly SigningKey[] }
  /** The keyring knows nothing of this domain or of a parent with `subdomains: true`. */
  | { readonly kind: 'unknown-domain' }
  /** The domain should be signed and cannot be now: answer 451 4.7.5, with this reason. */
  | { readonly kind: 'unusable'; readonly domain: string; readonly reason: string };

/** Read access to the keyring; a reload swaps what stands behind it. */
export interface SigningKeyring {
  /**
   * Finds the keys for an author domain: exact match, else the closest parent domain whose
   * manifest says `subdomains: true`.
   *
   * @param authorDomain domain of the header From, A-labels, lower case
   */
  keysFor(authorDomain: string): SigningKeys;
  /** Hears that a key signed a message in place of another; see `substituteOf`. */
  signedInstead?(key: SigningKey): void;
  /** A fault that holds for every domain (keyring unreadable); undefined when all is well. */
  readonly fault: string | undefined;
}
