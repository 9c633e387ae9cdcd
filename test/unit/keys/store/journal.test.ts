import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { appendFile, mkdtemp, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FileJournal } from '../../../../src/keys/store/file-journal.ts';
import { type JournalEntry, looksSecret } from '../../../../src/keys/store/journal.ts';
import { SegmentJournal } from '../../../../src/keys/store/object-journal.ts';
import { openStore } from '../../../../src/keys/store/stores.ts';
import { kubernetesPlace } from '../../../support/keyring-stores.ts';
import { FakeKubernetes } from '../../../support/kubernetes-api.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

function entry(event: string, more: Partial<JournalEntry> = {}): JournalEntry {
  return { at: '2026-11-21T09:00:00.000Z', caller: 'root', command: 'x', event, ...more };
}

async function events(journal: FileJournal, filter = {}): Promise<string[]> {
  const found: string[] = [];
  for await (const one of journal.read(filter)) found.push(one.event);
  return found;
}

describe('journal in files', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'waxseal-journal-'));
  });
  afterEach(async () => await rm(dir, { recursive: true, force: true }));

  const segment = (name = '000001.jsonl') => path.join(dir, 'journal', name);

  it('goes on after half a line, loses no whole one and tells of the half', async () => {
    const journal = new FileJournal(dir);
    await journal.append(entry('one', { domain: 'a.example' }));
    await journal.append(entry('two', { domain: 'a.example' }));
    const { length } = await readFile(segment());
    await truncate(segment(), length - 20); // what a crash in the middle of a write leaves
    assert.deepEqual(await events(journal), ['one', 'journal-damaged']);
    await journal.append(entry('three', { domain: 'a.example' }));
    assert.deepEqual(await events(journal), ['one', 'journal-damaged', 'three']);
    assert.deepEqual(await events(journal, { domain: 'a.example' }), ['one', 'three']);
    await journal.append(entry('four'));
    const text = await readFile(segment(), 'utf8');
    assert.equal(text.split('\n').length, 5, 'one line end was added, once');
  });

  it('begins a new segment when one is full, and reads all of them in order', async () => {
    const journal = new FileJournal(dir, 300);
    const names = Array.from({ length: 12 }, (_, n) => `event-${n}`);
    for (const name of names) await journal.append(entry(name));
    assert.equal((await readdir(path.join(dir, 'journal'))).length, 3);
    assert.deepEqual(await events(new FileJournal(dir)), names);
  });

  it('reads lines across its buffers, and bounds what is no line at all', async () => {
    const journal = new FileJournal(dir);
    for (let n = 0; n < 30; n += 1) {
      await journal.append(entry(`event-${n}`, { reason: 'x'.repeat(7001) }));
    }
    await appendFile(segment(), 'y'.repeat(300_000));
    const found = await events(journal);
    assert.deepEqual(
      found.filter((event) => event !== 'journal-damaged'),
      Array.from({ length: 30 }, (_, n) => `event-${n}`),
    );
    assert.ok(found.length > 31);
  });

  it('finds the entries of a domain among many, and those that others append later', async () => {
    const journal = new FileJournal(dir, 20_000);
    const domain = (n: number) => `d${n % 7}.example`;
    const append = async (writer: FileJournal, from: number, to: number) => {
      for (let n = from; n < to; n += 1) {
        await writer.append(entry(`event-${n}`, { domain: domain(n), reason: 'é'.repeat(n) }));
      }
    };
    const wanted = (to: number) =>
      Array.from({ length: to }, (_, n) => n)
        .filter((n) => n % 7 === 3)
        .map((n) => `event-${n}`);
    await append(journal, 0, 200);
    assert.deepEqual(await events(journal, { domain: 'd3.example' }), wanted(200));
    await appendFile(segment(), 'y'.repeat(200_000)); // half a line, in a segment that is over
    await append(new FileJournal(dir, 20_000), 200, 260);
    assert.deepEqual(await events(journal, { domain: 'd3.example' }), wanted(260));
    await rm(path.join(dir, 'journal'), { recursive: true });
    await append(new FileJournal(dir), 0, 10);
    assert.deepEqual(await events(journal, { domain: 'd3.example' }), wanted(10));
  });

  it('refuses an entry that is too large, or looks like a private key', async () => {
    const journal = new FileJournal(dir);
    const large = journal.append(entry('x', { reason: 'z'.repeat(20_000) }));
    await assert.rejects(large, { code: 'journal-entry', message: /more than 16384/ });
    const { privateKey } = generateKeyPairSync('ed25519');
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const secret = journal.append(entry('x', { details: { key: pem } }));
    await assert.rejects(secret, (error: Error) => {
      assert.equal((error as { code?: string }).code, 'journal-entry');
      assert.doesNotMatch(error.message, /BEGIN|MC4C/);
      return true;
    });
    assert.deepEqual(await readdir(dir), []);
  });
});

describe('journal guard', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ed25519 = generateKeyPairSync('ed25519');
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const text = (der: Buffer) => der.toString('base64');
  const secrets: readonly [string, string][] = [
    ['RSA in PKCS#8', text(rsa.privateKey.export({ type: 'pkcs8', format: 'der' }))],
    ['RSA in PKCS#1', text(rsa.privateKey.export({ type: 'pkcs1', format: 'der' }))],
    ['Ed25519 in PKCS#8', text(ed25519.privateKey.export({ type: 'pkcs8', format: 'der' }))],
    ['EC in SEC 1', text(ec.privateKey.export({ type: 'sec1', format: 'der' }))],
    ['PEM', rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()],
  ];
  for (const [what, secret] of secrets) {
    it(`knows ${what}`, () => {
      assert.ok(looksSecret(secret));
      assert.ok(looksSecret(JSON.stringify({ reason: `key=${secret.slice(0, 60)}` })));
    });
  }

  it('lets public keys, records, ARNs and ids pass', () => {
    const publicKey = text(rsa.publicKey.export({ type: 'spki', format: 'der' }));
    const old = text(rsa.publicKey.export({ type: 'pkcs1', format: 'der' }));
    for (const harmless of [
      `v=DKIM1; k=rsa; h=sha256; p=${publicKey}`,
      old,
      text(ed25519.publicKey.export({ type: 'spki', format: 'der' })),
      'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',
      '3b0c1d2e'.repeat(8),
      'AQICAHhexample'.repeat(20),
    ]) {
      assert.equal(looksSecret(harmless), false, harmless.slice(0, 40));
    }
  });
});

describe('journal in ConfigMaps', () => {
  it('begins a new one when one is full', async () => {
    const api = await FakeKubernetes.start();
    const place = kubernetesPlace(api);
    try {
      const journal = place.open().journal;
      for (let n = 0; n < 5; n += 1) await journal.append(entry(`event-${n}`));
      assert.deepEqual(api.names, ['waxseal-keyring-journal-000001']);
      for (let n = 0; n < 40; n += 1) {
        await journal.append(entry('long', { reason: 'x'.repeat(15_000) }));
      }
      assert.deepEqual(api.names, [
        'waxseal-keyring-journal-000001',
        'waxseal-keyring-journal-000002',
      ]);
      const another = openStore(place.place, new ManualClock()).journal;
      assert.ok(another instanceof SegmentJournal);
      await another.append(entry('last'));
      let last = '';
      let count = 0;
      for await (const one of journal.read({})) {
        last = one.event;
        count += 1;
      }
      assert.deepEqual([count, last], [46, 'last']);
    } finally {
      await place.end();
      await api.stop();
    }
  });
});
