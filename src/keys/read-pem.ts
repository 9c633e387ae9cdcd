import { createPrivateKey, type KeyObject } from 'node:crypto';
import { KeysRefusal } from './keys-error.ts';

/** A PEM file larger than this is no key. */
export const MAX_PEM_BYTES = 65_536;

/** One row for each kind of file that is refused: how it is recognised, what it is, what to do. */
const REFUSED: readonly { mark: string; what: string; hint: string }[] = [
  {
    mark: '-----BEGIN OPENSSH PRIVATE KEY-----',
    what: 'is in the format of OpenSSH',
    hint: 'convert a copy of it: ssh-keygen -p -m PEM -N "" -f COPY',
  },
  {
    mark: '-----BEGIN ENCRYPTED PRIVATE KEY-----',
    what: 'is protected by a passphrase',
    hint: 'decrypt it into a file that only you can read: openssl pkey -in FILE -out PLAIN',
  },
  {
    mark: 'Proc-Type: 4,ENCRYPTED',
    what: 'is protected by a passphrase',
    hint: 'decrypt it into a file that only you can read: openssl pkey -in FILE -out PLAIN',
  },
  {
    mark: '-----BEGIN PUBLIC KEY-----',
    what: 'is a public key',
    hint: 'give the private key that belongs to it',
  },
  {
    mark: '-----BEGIN RSA PUBLIC KEY-----',
    what: 'is a public key',
    hint: 'give the private key that belongs to it',
  },
  {
    mark: '-----BEGIN CERTIFICATE-----',
    what: 'is a certificate',
    hint: 'give the private key of the DKIM selector',
  },
];

/**
 * Reads a private key: PKCS#1 (`BEGIN RSA PRIVATE KEY`) or PKCS#8 (`BEGIN PRIVATE KEY`), not
 * encrypted.
 *
 * @param pem content of the file; the caller overwrites it afterwards
 * @param name path of the file, for messages
 * @throws KeysRefusal `key-format`
 */
export function readPemKey(pem: Buffer, name: string): KeyObject {
  const refused = REFUSED.find(({ mark }) => pem.includes(mark));
  if (refused !== undefined) {
    throw new KeysRefusal('key-format', `${name} ${refused.what}`, { hint: refused.hint });
  }
  const blocks = countOf(pem, 'PRIVATE KEY-----') / 2;
  if (blocks > 1) {
    const message = `${name} holds more than one private key`;
    throw new KeysRefusal('key-format', message, { hint: 'put the one that is meant into a file' });
  }
  try {
    return createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    // The cause is left out: it says nothing of use, and it is not ours to promise what it quotes.
    throw new KeysRefusal('key-format', `${name} holds no private key in PEM form`, {
      hint: 'it must begin with "-----BEGIN PRIVATE KEY-----" or "-----BEGIN RSA PRIVATE KEY-----"',
    });
  }
}

function countOf(octets: Buffer, mark: string): number {
  let count = 0;
  for (let at = octets.indexOf(mark); at >= 0; at = octets.indexOf(mark, at + mark.length)) {
    count += 1;
  }
  return count;
}
