import type { KeyBackend, StoredKey } from './backend.ts';
import { keyAlgorithmNamed } from './key-algorithm.ts';
import { KeysError } from './keys-error.ts';

/** What is signed as a probe; it is no header of any message. */
const PROBE = Buffer.from('waxseal probe signature; not a message\r\n');

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
  if (!(await algorithm.verify(PROBE, publicKey, signature))) {
    throw new KeysError('key-unusable', `${name}: a probe signature does not verify`, {
      hint: 'the private key is damaged; make or import another one',
    });
  }
}
