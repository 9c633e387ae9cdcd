import { generateKeyPairSync, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** A key and its self-signed certificate, both PEM. */
export interface TestCertificate {
  readonly key: string;
  readonly cert: string;
}

const known = new Map<string, TestCertificate>();

/**
 * Makes a self-signed certificate (ECDSA P-256) for host names or IP addresses; the same names give
 * the same one. Written out in DER here, so that tests need no openssl program.
 */
export function testCertificate(...names: string[]): TestCertificate {
  const id = names.join(' ');
  const cached = known.get(id);
  if (cached !== undefined) return cached;
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ecdsaWithSha256 = der(0x30, oid('2a8648ce3d040302'));
  const name = der(
    0x30,
    der(0x31, der(0x30, oid('550403'), der(0x0c, Buffer.from(names[0] ?? 'test')))),
  );
  const alternatives = names.map((one) =>
    isIP(one) === 4
      ? der(0x87, Buffer.from(one.split('.').map(Number)))
      : der(0x82, Buffer.from(one)),
  );
  const subjectAltName = der(0x30, oid('551d11'), der(0x04, der(0x30, ...alternatives)));
  const dayMs = 86_400_000;
  const body = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([known.size + 1])),
    ecdsaWithSha256,
    name,
    der(0x30, utcTime(Date.now() - dayMs), utcTime(Date.now() + 365 * dayMs)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(0x30, subjectAltName)),
  );
  const signature = der(0x03, Buffer.from([0]), sign('sha256', body, privateKey));
  const lines = der(0x30, body, ecdsaWithSha256, signature)
    .toString('base64')
    .match(/.{1,64}/g);
  const made = {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines?.join('\n')}\n-----END CERTIFICATE-----\n`,
  };
  known.set(id, made);
  return made;
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const value = Buffer.concat(parts);
  const { length } = value;
  const size =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), value]);
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'));
}

function utcTime(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]/g, '').slice(2, 14);
  return der(0x17, Buffer.from(`${digits}Z`));
}
