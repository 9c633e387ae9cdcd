/**
 * A quick look at a public key as nearly all are: RSA with the exponent 65537 as SPKI DER (RFC 5280
 * section 4.1.2.7, RFC 8017 appendix A.1.1), Ed25519 as 32 octets. Everything in it but the number
 * itself is compared. OpenSSL looks at no more and takes twenty times as long, and a keyring has
 * tens of thousands of them.
 */

const ED25519_OCTETS = 32;
/** AlgorithmIdentifier of rsaEncryption with its NULL. */
const RSA_ALGORITHM = Buffer.from('300d06092a864886f70d0101010500', 'hex');
/** INTEGER 65537 */
const EXPONENT = Buffer.from('0203010001', 'hex');

const RSA_BITS: ReadonlyMap<string, number> = new Map([
  ['rsa2048', 2048],
  ['rsa3072', 3072],
  ['rsa4096', 4096],
]);
const HEADERS = new Map([...RSA_BITS].map(([name, bits]) => [name, rsaHeader(bits / 8)]));

/**
 * @param algorithm name of an algorithm row
 * @param octets the value of `p=`, decoded
 * @returns true: it is such a key; false: only a real parser can tell
 */
export function isPlainPublicKey(algorithm: string, octets: Buffer): boolean {
  if (algorithm === 'ed25519') return octets.length === ED25519_OCTETS;
  const header = HEADERS.get(algorithm);
  const bits = RSA_BITS.get(algorithm);
  if (header === undefined || bits === undefined) return false;
  const end = header.length + bits / 8;
  if (octets.length !== end + EXPONENT.length) return false;
  const [first = 0, last = 0] = [octets[header.length], octets[end - 1]];
  // As long as its name says, and odd, as the product of two primes is.
  if (first < 0x80 || last % 2 === 0) return false;
  return octets.subarray(0, header.length).equals(header) && octets.subarray(end).equals(EXPONENT);
}

/** All that stands before the modulus, its leading zero included. */
function rsaHeader(modulusOctets: number): Buffer {
  const modulus = Buffer.concat([Buffer.of(0x02), length(modulusOctets + 1), Buffer.of(0)]);
  const keyOctets = modulus.length + modulusOctets + EXPONENT.length;
  const key = Buffer.concat([Buffer.of(0x30), length(keyOctets), modulus]);
  const bitOctets = 1 + 1 + length(keyOctets).length + keyOctets; // of the BIT STRING: no unused bits
  const bits = Buffer.concat([Buffer.of(0x03), length(bitOctets), Buffer.of(0), key]);
  const all = RSA_ALGORITHM.length + 1 + length(bitOctets).length + bitOctets;
  return Buffer.concat([Buffer.of(0x30), length(all), RSA_ALGORITHM, bits]);
}

/** A length in DER (X.690 section 8.1.3): two octets after their number, which all of these take. */
function length(octets: number): Buffer {
  return Buffer.of(0x82, octets >> 8, octets & 0xff);
}
