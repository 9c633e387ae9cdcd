import { createHash, verify } from 'node:crypto';
import { promisify } from 'node:util';
import type { KeyBackend, StoredKey } from './backend.ts';
import { type KeyFamily, keyAlgorithmNamed } from './key-algorithm.ts';
import { KeysError } from './keys-error.ts';

const verifyAsync = promisify(verify);

/** What is signed as a probe; it is no header of any message. */
const PROBE = Buffer.from('waxseal probe signature; not a message\r\n');

/** How a verifier checks a signature of each family (RFC 6376 section 3.3, RFC 8463 section 3). */
const VERIFICATION: Readonly<Record<KeyFamily, (octets: Buffer) => [string | null, Buffer]>> = {
  rsa: (octets) => ['sha256', octets],
  ed25519: (octets) => [null, createHash('sha256').update(octets).digest()],
};

/**
 * Signs with a key and verifies against the public half in the manifest: proof that the key can
 * be used here and now.
 *
 * @throws KeysError `key-unusable`
 */
export async function probeSigner(backend: KeyBackend, key: StoredKey): Promise<void> {
  const name = `${key.domain}, selector ${key.selector}`;
  const opened = await backend.open(key);
  if (opened.kind === 'unusable') {
    throw new KeysError('key-unusable', `${name} cannot sign: ${opened.reason}`);
  }
  const algorithm = keyAlgorithmNamed(key.algorithm);
  if (algorithm === undefined) throw new RangeError(`no such algorithm: ${key.algorithm}`);
  const signature = await opened.signer.sign(PROBE);
  const publicKey = algorithm.publicKeyFrom(Buffer.from(key.publicKey, 'base64'));
  const [hash, octets] = VERIFICATION[algorithm.family](PROBE);
  if (!(await verifyAsync(hash, octets, publicKey, signature))) {
    throw new KeysError('key-unusable', `${name}: a probe signature does not verify`, {
      hint: 'the private key is damaged; make or import another one',
    });
  }
}
