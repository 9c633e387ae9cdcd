import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import type { EmbeddedDns } from './embedded-dns.ts';

/** What the verifier says of one DKIM-Signature field. */
export interface SignatureVerdict {
  readonly algorithm: string;
  readonly selector: string;
  readonly result: string;
}

/** Has mailauth verify a message against the records of the embedded DNS. */
export async function verifiedSignatures(
  message: Buffer,
  dns: EmbeddedDns,
): Promise<readonly SignatureVerdict[]> {
  const resolver = async (name: string) => {
    const texts = dns.zone.get(name.toLowerCase())?.TXT;
    if (texts === undefined) throw Object.assign(new Error('no record'), { code: 'ENOTFOUND' });
    return texts as string[][];
  };
  const { results } = await dkimVerify(message, { resolver });
  return results.map(({ algo, selector, status }) => ({
    algorithm: algo ?? '',
    selector: selector ?? '',
    result: status.result,
  }));
}
