import {
  createHash,
  createPrivateKey,
  createPublicKey,
  sign as cryptoSign,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import type { DkimAlgorithm, SigningKey } from '../../src/mail/signer.ts';

/** A key for tests, with the TXT record that belongs to it. */
export interface TestKey extends SigningKey {
  readonly recordName: string;
  readonly record: string;
}

const generated = new Map<DkimAlgorithm, KeyObject>();

/** A private key, made once for each algorithm. */
function privateKeyFor(algorithm: DkimAlgorithm): KeyObject {
  const known = generated.get(algorithm);
  if (known !== undefined) return known;
  const made =
    algorithm === 'rsa-sha256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
      : generateKeyPairSync('ed25519').privateKey;
  generated.set(algorithm, made);
  return made;
}

/** Makes a key that signs with `crypto.sign` and its callback. */
export function testKey(
  domain: string,
  selector: string,
  algorithm: DkimAlgorithm,
  privateKey: KeyObject = privateKeyFor(algorithm),
): TestKey {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const rsa = algorithm === 'rsa-sha256';
  const p = (rsa ? spki : spki.subarray(-32)).toString('base64');
  return {
    domain,
    selector,
    signatureBytes: rsa ? (privateKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8 : 64,
    recordName: `${selector}._domainkey.${domain}`,
    record: `v=DKIM1; k=${rsa ? 'rsa' : 'ed25519'}; h=sha256; p=${p}`,
    signer: {
      algorithm,
      remote: false,
      sign: (octets) => {
        // RFC 8463 section 3: Ed25519 signs the SHA-256 of what RSA would hash.
        const input = rsa ? octets : createHash('sha256').update(octets).digest();
        return new Promise((resolve, reject) => {
          cryptoSign(rsa ? 'sha256' : null, input, privateKey, (error, signature) =>
            error === null ? resolve(signature) : reject(error),
          );
        });
      },
    },
  };
}

/** An Ed25519 private key from its 32-octet seed (RFC 8032). */
export function ed25519FromSeed(seed: Buffer): KeyObject {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  return createPrivateKey({ key: Buffer.concat([prefix, seed]), format: 'der', type: 'pkcs8' });
}

/** What mailauth, in its strict mode, says of each signature: `pass`, or a result and its reason. */
export async function mailauthVerdicts(
  message: Buffer,
  keys: readonly Pick<TestKey, 'recordName' | 'record'>[],
  nowS: number,
): Promise<string[]> {
  const verdict = await dkimVerify(message, {
    strict: true,
    curTime: new Date((nowS + 60) * 1000),
    resolver: async (name: string) => {
      const key = keys.find(({ recordName }) => recordName === name);
      if (key === undefined) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
      return [[key.record]];
    },
  } as Parameters<typeof dkimVerify>[1]);
  return verdict.results.map(({ status }) =>
    status.result === 'pass' ? 'pass' : `${status.result} ${status.comment ?? ''}`,
  );
}
