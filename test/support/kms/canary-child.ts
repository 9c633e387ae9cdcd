import { createPrivateKey, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { writeHeapSnapshot } from 'node:v8';
import { systemClock } from '../../../src/base/clock.ts';
import type { StoredKey } from '../../../src/keys/backend.ts';
import { BACKENDS } from '../../../src/keys/backends.ts';
import { Kms } from '../../../src/keys/kms/kms.ts';
import { build } from '../../unit/config/build.ts';

/**
 * A process of its own that opens a wrapped key, signs with it, collects garbage and writes a heap
 * snapshot. With a `leak` it also keeps the private key in that form, to prove that it would be
 * found. One argument, JSON. Run with --expose-gc.
 */
export interface CanaryOrder {
  readonly endpoint: string;
  readonly key: StoredKey;
  readonly snapshotFile: string;
  readonly leak: keyof typeof LEAKS | 'none';
}

/** Ways to leave a private key lying about. */
const LEAKS = {
  pem: (der: Buffer) =>
    createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({
      format: 'pem',
      type: 'pkcs8',
    }),
  base64: (der: Buffer) => der.toString('base64'),
  hex: (der: Buffer) => der.toString('hex'),
  der: (der: Buffer) => der.toString('latin1'),
} as const;

const order = JSON.parse(process.argv[2] ?? '') as CanaryOrder;
const kms = new Kms(
  { ...build('').config.kms, regions: ['eu-central-1'], endpoints: [order.endpoint] },
  { clock: systemClock, log: { warning: () => undefined, kmsCalls: () => undefined } },
);
const options = { dir: '', masterKeyFile: '', masterKey: 'must-exist', kms } as const;
const backend = await BACKENDS['kms-envelope'].connect(options);
const opened = await backend.open(order.key);
if (opened.kind !== 'open') throw new Error(opened.reason);
const signature = await opened.signer.sign(randomBytes(300));
const leaked = order.leak === 'none' ? undefined : await leak(order.leak);
// What hangs on promises and sockets of the call goes only after some turns.
for (let turn = 0; turn < 5; turn += 1) {
  await nextTurn();
  globalThis.gc?.();
}
writeHeapSnapshot(order.snapshotFile);
// Used after the snapshot, so that they are alive in it.
const done = {
  signed: signature.length,
  leaked: leaked?.length ?? 0,
  algorithm: opened.signer.algorithm,
};
writeFileSync(1, JSON.stringify(done));
await kms.close();

async function leak(form: keyof typeof LEAKS): Promise<string> {
  const { material = {}, domain, selector } = order.key;
  const { Plaintext = new Uint8Array() } = await kms.caller.call({
    operation: 'Decrypt',
    family: 'symmetric',
    regions: ['eu-central-1'],
    input: () => ({
      KeyId: material.wrappingKey,
      CiphertextBlob: Buffer.from(material.ciphertext ?? '', 'base64'),
      EncryptionContext: { domain, selector },
    }),
  });
  return LEAKS[form](Buffer.from(Plaintext)).toString();
}
