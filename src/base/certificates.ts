import { X509Certificate } from 'node:crypto';
import { errorMessage, WaxsealError } from './errors.ts';

const BLOCK = /-----BEGIN (X509 )?CERTIFICATE-----[^-]*-----END (X509 )?CERTIFICATE-----/g;

/**
 * Checks a file of trusted certificates. OpenSSL passes over what it cannot read, and then trusts
 * nobody without a word.
 *
 * @param setting the setting that names the file, for the message
 * @param pem the file's content
 * @throws WaxsealError `tls-material-invalid` when there is no certificate in it, or a broken one
 */
export function checkCertificates(setting: string, pem: string | Buffer): void {
  const blocks = pem.toString('latin1').match(BLOCK) ?? [];
  const hint = 'it must hold certificates in PEM form ("BEGIN CERTIFICATE")';
  if (blocks.length === 0) {
    throw new WaxsealError('tls-material-invalid', `${setting}: there is no certificate in it`, {
      hint,
    });
  }
  for (const [index, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch (cause) {
      const message = `${setting}: certificate ${index + 1} of ${blocks.length} cannot be read: ${errorMessage(cause)}`;
      throw new WaxsealError('tls-material-invalid', message, { cause, hint });
    }
  }
}
