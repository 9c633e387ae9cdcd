import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  sign as cryptoSign,
  generateKeyPairSync,
  type KeyObject,
  privateEncrypt,
  randomBytes,
} from 'node:crypto';
import { invalid, KmsAnswerError } from './kms-error.ts';

/** The cryptography of the in-repo KMS; nothing of it is Waxseal's own. */

/** Specs of key pairs: https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html */
export const PAIR_SPECS: Readonly<Record<string, () => { privateKey: KeyObject }>> = {
  RSA_2048: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  RSA_3072: () => generateKeyPairSync('rsa', { modulusLength: 3072 }),
  RSA_4096: () => generateKeyPairSync('rsa', { modulusLength: 4096 }),
  ECC_NIST_EDWARDS25519: () => generateKeyPairSync('ed25519'),
  ECC_NIST_P256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};

/** DER of DigestInfo for SHA-256 up to the digest (RFC 8017 section 9.2). */
const SHA256_DIGEST_INFO = Buffer.from('3031300d060960864801650304020105000420', 'hex');

/**
 * Signs as KMS does: https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html.
 * ED25519_SHA_512 takes RAW only; DIGEST must be as long as the algorithm's digest; RAW takes 4096
 * octets.
 */
export function signAs(
  spec: string,
  privateKey: KeyObject,
  message: Buffer,
  messageType: string,
  algorithm: string,
): Buffer {
  const isRsa = spec.startsWith('RSA_');
  if (messageType === 'RAW' && message.length > 4096) throw invalid('Message is over 4096 bytes');
  if (isRsa && algorithm === 'RSASSA_PKCS1_V1_5_SHA_256') {
    if (messageType === 'RAW') return cryptoSign('sha256', message, privateKey);
    if (message.length !== 32) throw invalid('Digest is invalid length for algorithm');
    const padded = { key: privateKey, padding: constants.RSA_PKCS1_PADDING };
    return privateEncrypt(padded, Buffer.concat([SHA256_DIGEST_INFO, message]));
  }
  if (spec === 'ECC_NIST_EDWARDS25519' && algorithm === 'ED25519_SHA_512') {
    if (messageType !== 'RAW') throw invalid('ED25519_SHA_512 requires MessageType RAW');
    return cryptoSign(null, message, privateKey);
  }
  throw invalid(`Algorithm ${algorithm} and key spec ${spec} are incompatible`);
}

type Context = Readonly<Record<string, string>>;

/** The context is associated data, whatever the order of its pairs. */
function associatedData(keyId: string, context: Context): Buffer {
  return Buffer.from(JSON.stringify([keyId, Object.entries(context).sort()]));
}

/** A ciphertext that names its key, as KMS's own do. */
export function encryptUnder(
  keyId: string,
  secret: Buffer,
  plaintext: Buffer,
  context: Context,
): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', secret, nonce);
  cipher.setAAD(associatedData(keyId, context));
  const sealed = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([Buffer.from(keyId.padEnd(40)), nonce, cipher.getAuthTag(), sealed]);
}

/** The id of the key that a ciphertext names. */
export function keyIdOfCiphertext(blob: Buffer): string {
  return blob.subarray(0, 40).toString('latin1').trim();
}

/**
 * @throws KmsAnswerError InvalidCiphertextException for anything that does not fit, the context
 *   included: https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html
 */
export function decryptUnder(
  keyId: string,
  secret: Buffer,
  blob: Buffer,
  context: Context,
): Buffer {
  try {
    const decipher = createDecipheriv('aes-256-gcm', secret, blob.subarray(40, 52));
    decipher.setAAD(associatedData(keyId, context));
    decipher.setAuthTag(blob.subarray(52, 68));
    return Buffer.concat([decipher.update(blob.subarray(68)), decipher.final()]);
  } catch {
    throw new KmsAnswerError('InvalidCiphertextException', '');
  }
}

/** An id that no two keys share. */
export function newKeyId(multiRegion: boolean): string {
  const hex = createHash('sha256').update(randomBytes(32)).digest('hex');
  if (multiRegion) return `mrk-${hex.slice(0, 32)}`;
  return [8, 4, 4, 4, 12]
    .reduce<{ at: number; parts: string[] }>(
      ({ at, parts }, length) => ({
        at: at + length,
        parts: [...parts, hex.slice(at, at + length)],
      }),
      { at: 0, parts: [] },
    )
    .parts.join('-');
}
