import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import type { MasterKey } from './master-key.ts';

/**
 * A private key at rest: PKCS#8 (RFC 5958) under AES-256-GCM (NIST SP 800-38D). Domain, selector
 * and algorithm are associated data, so a file that was renamed or swapped does not open.
 */

/** What a private key belongs to. */
export interface KeyIdentity {
  readonly domain: string;
  readonly selector: string;
  /** Name of an algorithm row. */
  readonly algorithm: string;
}

export type Unsealed =
  | { readonly kind: 'key'; readonly privateKey: KeyObject }
  /** `other-master-key`: sealed under another one; `damaged`: anything else that does not fit. */
  | { readonly kind: 'other-master-key' | 'damaged' };

/** Largest sealed file in octets; RSA-4096 takes about 3,300. */
export const MAX_SEALED_BYTES = 16_384;

const FORMAT = 'waxseal-sealed-key-1';
/** SP 800-38D section 8.2.2: 96 random bits; good for 2^32 keys under one master key. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Encrypts a private key. Plain text is overwritten before it returns. */
export function sealKey(identity: KeyIdentity, privateKey: KeyObject, master: MasterKey): Buffer {
  const plain = privateKey.export({ type: 'pkcs8', format: 'der' });
  try {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', master.key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(associatedData(identity));
    const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()]);
    const sealed = {
      format: FORMAT,
      masterKey: master.id,
      nonce: nonce.toString('base64'),
      tag: cipher.getAuthTag().toString('base64'),
      ciphertext: ciphertext.toString('base64'),
    };
    return Buffer.from(`${JSON.stringify(sealed, undefined, 1)}\n`);
  } finally {
    plain.fill(0);
  }
}

/** Decrypts a private key. Plain text is overwritten before it returns; nothing is thrown. */
export function unsealKey(identity: KeyIdentity, sealed: Buffer, master: MasterKey): Unsealed {
  const parts = parseSealed(sealed);
  if (parts === undefined) return { kind: 'damaged' };
  if (parts.masterKey !== master.id) return { kind: 'other-master-key' };
  let plain: Buffer | undefined;
  try {
    const decipher = createDecipheriv('aes-256-gcm', master.key, parts.nonce, {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(associatedData(identity));
    decipher.setAuthTag(parts.tag);
    plain = decipher.update(parts.ciphertext);
    decipher.final(); // GCM gives nothing here; it throws when the tag does not fit
    const privateKey = createPrivateKey({ key: plain, type: 'pkcs8', format: 'der' });
    return { kind: 'key', privateKey };
  } catch {
    return { kind: 'damaged' };
  } finally {
    plain?.fill(0);
  }
}

/** @returns which master key a private key was sealed under; undefined when that cannot be read */
export function masterKeyIdOf(sealed: Buffer): string | undefined {
  return parseSealed(sealed)?.masterKey;
}

/** Each part after its length in 32 bits, so no two identities give the same octets. */
function associatedData(identity: KeyIdentity): Buffer {
  const parts = [FORMAT, identity.domain, identity.selector, identity.algorithm];
  return Buffer.concat(
    parts.flatMap((part) => {
      const octets = Buffer.from(part, 'utf8');
      const length = Buffer.alloc(4);
      length.writeUInt32BE(octets.length);
      return [length, octets];
    }),
  );
}

interface SealedParts {
  readonly masterKey: string;
  readonly nonce: Buffer;
  readonly tag: Buffer;
  readonly ciphertext: Buffer;
}

function parseSealed(sealed: Buffer): SealedParts | undefined {
  let value: unknown;
  try {
    value = JSON.parse(sealed.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const text = (name: string): string => {
    const item: unknown = Object.getOwnPropertyDescriptor(value, name)?.value;
    return typeof item === 'string' ? item : '';
  };
  const octets = (name: string) => Buffer.from(text(name), 'base64');
  const parts = {
    masterKey: text('masterKey'),
    nonce: octets('nonce'),
    tag: octets('tag'),
    ciphertext: octets('ciphertext'),
  };
  const fits = parts.nonce.length === NONCE_BYTES && parts.tag.length === TAG_BYTES;
  return text('format') === FORMAT && fits ? parts : undefined;
}
