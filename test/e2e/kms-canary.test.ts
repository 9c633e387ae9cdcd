import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { keyAlgorithmNamed } from '../../src/keys/key-algorithm.ts';
import type { CanaryOrder } from '../support/kms/canary-child.ts';
import { KmsLab, stored } from '../support/kms/kms-lab.ts';

const CHILD = fileURLToPath(new URL('../support/kms/canary-child.ts', import.meta.url));

/** Octets of PKCS#8 before which there is nothing secret: versions, names, the public modulus. */
const PUBLIC_HEAD: Readonly<Record<string, number>> = { rsa2048: 330, ed25519: 16 };
/** A find of so many octets is no accident. */
const WINDOW_BYTES = 15;

/** Pieces of the secret part, in each form in which it might lie about. */
function needles(der: Buffer, head: number): ReadonlyMap<string, readonly string[]> {
  const pieces = (form: string, encode: (part: Buffer) => string) => {
    const found: string[] = [];
    for (let at = head; at + WINDOW_BYTES <= der.length; at += WINDOW_BYTES) {
      found.push(encode(der.subarray(at, at + WINDOW_BYTES)));
    }
    return [form, found] as const;
  };
  const base64 = der.toString('base64');
  const chunks: string[] = [];
  // Not aligned to octets: what counts is how the whole is written, and PEM breaks it every 64.
  for (let at = Math.ceil((head * 4) / 3 / 64) * 64; at < base64.length; at += 64) {
    const line = base64.slice(at, at + 64).replace(/=+$/, '');
    if (line.length >= 20) chunks.push(line);
  }
  if (chunks.length === 0) chunks.push(base64.slice(-44).replace(/=+$/, ''));
  return new Map([
    ['base64 or PEM', chunks],
    pieces('hex', (part) => part.toString('hex')),
    pieces('DER', (part) => part.toString('latin1')),
  ]);
}

describe('a heap snapshot of a process that signs with a wrapped key', function () {
  this.timeout(120_000);
  let lab: KmsLab;
  let dir: string;

  beforeEach(async () => {
    lab = await KmsLab.start();
    dir = await mkdtemp(join(tmpdir(), 'waxseal-canary-'));
  });
  afterEach(async () => {
    await lab?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  /** @returns the forms of the private key that were found */
  const findings = async (algorithm: string, leak: CanaryOrder['leak']): Promise<string[]> => {
    const identity = { domain: 'example.com', selector: 'canary', algorithm };
    const { privateKey } = await keyAlgorithmNamed(algorithm)!.generate();
    const backend = await lab.connect('kms-envelope');
    const key = stored(identity, await backend.keep(identity, privateKey));
    const snapshotFile = join(dir, 'canary.heapsnapshot');
    const order: CanaryOrder = { endpoint: lab.server.region().url, key, snapshotFile, leak };
    // Without the limit, long texts would stand in the snapshot with their first 1024 characters only.
    const flags = ['--expose-gc', '--heap-snapshot-string-limit=1000000'];
    const child = spawn(process.execPath, [...flags, CHILD, JSON.stringify(order)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const finished = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
    const [stdout, stderr] = await finished;
    assert.equal(child.exitCode, 0, stderr);
    assert.ok(JSON.parse(stdout).signed > 0);
    const snapshot = JSON.parse(await readFile(snapshotFile, 'utf8')) as { strings: string[] };
    const all = snapshot.strings.join('\n');
    assert.ok(all.includes('kms-envelope'), 'it is a snapshot of that process');
    const der = privateKey.export({ type: 'pkcs8', format: 'der' });
    return [...needles(der, PUBLIC_HEAD[algorithm] ?? 0)].flatMap(([form, pieces]) =>
      pieces.some((piece) => all.includes(piece)) ? [form] : [],
    );
  };

  for (const algorithm of ['rsa2048', 'ed25519']) {
    it(`holds neither PEM, DER nor base64 of a key of ${algorithm}`, async () => {
      assert.deepEqual(await findings(algorithm, 'none'), []);
    });
  }

  for (const [leak, form] of [
    ['pem', 'base64 or PEM'],
    ['base64', 'base64 or PEM'],
    ['hex', 'hex'],
    ['der', 'DER'],
  ] as const) {
    it(`control: a key that is left lying about as ${leak} is found`, async () => {
      assert.deepEqual(await findings('rsa2048', leak), [form]);
    });
  }

  it('control: the same for Ed25519', async () => {
    assert.deepEqual(await findings('ed25519', 'base64'), ['base64 or PEM']);
  });
});
