import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { keyAlgorithmOf } from '../../../src/keys/key-algorithm.ts';
import { isPlainPublicKey } from '../../../src/keys/plain-public-key.ts';
import { algorithm } from '../../support/keyring.ts';

describe('quick look at a public key', () => {
  const rsa = (modulusLength: number, publicExponent = 65_537) =>
    generateKeyPairSync('rsa', { modulusLength, publicExponent }).publicKey.export({
      type: 'spki',
      format: 'der',
    });

  it('knows what is made here', () => {
    for (const bits of [2048, 3072]) assert.ok(isPlainPublicKey(`rsa${bits}`, rsa(bits)));
    const { publicKey } = generateKeyPairSync('ed25519');
    const octets = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
    assert.ok(isPlainPublicKey('ed25519', octets));
  });

  it('leaves every other key to the real parser', () => {
    const key = rsa(2048);
    for (const [name, octets] of [
      ['rsa3072', key],
      ['rsa4096', key],
      ['rsa1024', rsa(1024)],
      ['rsa2048', rsa(2048, 3)],
      ['rsa2048', rsa(2040)],
      ['rsa2048', Buffer.concat([key, Buffer.of(0)])],
      ['rsa2048', key.subarray(0, -1)],
      ['rsa2048', Buffer.alloc(key.length)],
      ['rsa2048', Buffer.alloc(0)],
      ['ed25519', key],
      ['ed25519', Buffer.alloc(44)],
      ['nonsense', key],
    ] as const) {
      assert.equal(isPlainPublicKey(name, octets), false, `${name}, ${octets.length} octets`);
    }
  });

  it('lets nothing pass that the real parser refuses or names otherwise', () => {
    const key = rsa(2048);
    let passed = 0;
    for (let at = 0; at < key.length; at += 1) {
      for (const bit of [1, 0x80]) {
        const changed = Buffer.from(key);
        changed[at] = (changed[at] ?? 0) ^ bit;
        if (!isPlainPublicKey('rsa2048', changed)) continue;
        passed += 1;
        const found = keyAlgorithmOf(algorithm('rsa2048').publicKeyFrom(changed));
        assert.ok('name' in found && found.name === 'rsa2048', `octet ${at}`);
      }
    }
    assert.ok(passed > 400 && passed < 512, 'the modulus, less its ends, is free');
  });
});
