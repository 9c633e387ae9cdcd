/** One signature as a relay makes it: a parsed key, the callback form, about 600 octets of header. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export type SignatureKind = 'rsa' | 'ed25519';

export interface BenchKey {
  readonly digest: 'sha256' | null;
  readonly key: KeyObject;
}

export function makeBenchKey(kind: SignatureKind): BenchKey {
  return kind === 'rsa'
    ? { digest: 'sha256', key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey }
    : { digest: null, key: generateKeyPairSync('ed25519').privateKey };
}

/** Signs on libuv's threads; `done` is called on the event loop. */
export function signOnce(key: BenchKey, octets: Buffer, done: () => void): void {
  sign(key.digest, octets, key.key, (error) => {
    if (error !== null) {
      throw error;
    }
    done();
  });
}
