import type { KeyObject } from 'node:crypto';
import type { Signer } from '../mail/signer.ts';
import type { KeyAlgorithm } from './key-algorithm.ts';
import { SigningError } from './keys-error.ts';

/**
 * A signer over a private key in memory. The key was parsed once; the work runs in the thread
 * pool. A signature under way cannot be stopped: an abort only ends the wait for it.
 */
export function localSigner(algorithm: KeyAlgorithm, privateKey: KeyObject): Signer {
  return {
    algorithm: algorithm.dkim,
    remote: false,
    sign: async (octets, signal) => {
      if (signal?.aborted === true) throw aborted();
      try {
        const signature = algorithm.sign(octets, privateKey);
        return await (signal === undefined ? signature : untilAborted(signature, signal));
      } catch (error) {
        if (error instanceof SigningError) throw error;
        throw new SigningError(`a signature with ${algorithm.name} failed`, { cause: error });
      }
    },
  };
}

async function untilAborted(signature: Promise<Buffer>, signal: AbortSignal): Promise<Buffer> {
  let stop = () => {};
  const abort = new Promise<never>((_resolve, reject) => {
    stop = () => reject(aborted());
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([signature, abort]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function aborted(): SigningError {
  return new SigningError('the signature was not waited for: the transaction ended');
}
