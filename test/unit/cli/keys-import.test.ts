import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CommanderError } from 'commander';
import { systemClock } from '../../../src/base/clock.ts';
import type { KeysParts } from '../../../src/cli/keys-command.ts';
import { privateKeySource } from '../../../src/keys/import/key-source.ts';
import { FileJournal } from '../../../src/keys/store/file-journal.ts';
import type { JournalEntry } from '../../../src/keys/store/journal.ts';
import {
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
  TxtTable,
} from '../../support/keyring.ts';
import { runKeysCommandLine } from '../../support/run-keys.ts';

const ARN = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
const { publicKey } = privateKeySource(privateKey, 'test', 'file');
const RECORD = `v=DKIM1; k=rsa; p=${publicKey}`;
const NAME = 'mail._domainkey.example.com';

describe('keys import', () => {
  let place: KeyringPlace;
  let dns: TxtTable;
  let pemFile: string;
  let keyTable: string;
  let signingTable: string;

  beforeEach(async () => {
    place = await makeKeyringPlace();
    dns = new TxtTable();
    pemFile = path.join(place.root, 'mail.pem');
    keyTable = path.join(place.root, 'KeyTable');
    signingTable = path.join(place.root, 'SigningTable');
    await writeFile(pemFile, privateKey.export({ type: 'pkcs1', format: 'pem' }));
    await writeFile(keyTable, `mail %:mail:${pemFile}\n`);
  });
  afterEach(async () => await removeKeyringPlace(place));

  async function run(...args: readonly string[]) {
    const parts: Pick<KeysParts, 'clock' | 'openLookup' | 'openStanding'> = {
      clock: systemClock,
      openLookup: () => ({ txt: (name) => dns.txt(name), close: () => {} }),
      openStanding: () => async (name) => {
        const answer = await dns.txt(name);
        if (answer.kind !== 'found') return { kind: 'none', reason: 'there is no TXT record' };
        return { kind: 'one', strings: answer.texts, ttlS: 600 };
      },
    };
    const loadConfig = async () => ({
      keys: place,
      dns: { servers: [], timeoutMs: 1000, attempts: 1 },
    });
    return await runKeysCommandLine(['import', ...args], loadConfig, parts as KeysParts);
  }

  const journal = async () => {
    const entries: JournalEntry[] = [];
    for await (const entry of new FileJournal(place.dir).read({})) entries.push(entry);
    return entries;
  };
  const one = ['example.com', '--selector', 'mail'] as const;

  it('says in a dry run what it would do, and does nothing', async () => {
    const dry = await run(...one, pemFile, '--dry-run', '--json');
    assert.equal(dry.code, 0, dry.err);
    const told = JSON.parse(dry.out);
    assert.equal(told.outcome, 'would-import');
    assert.equal(told.record.verdict, 'absent');
    assert.ok(!(await readdir(place.root)).includes('keys'));
  });

  it('refuses a key whose record is another one, and takes it by force', async () => {
    dns.set(NAME, 'v=DKIM1; p=');
    const refused = await run(...one, pemFile);
    assert.equal(refused.code, 3);
    assert.match(refused.err, /does not belong to this key: p= is empty.*\nhint: /);
    const forced = await run(...one, pemFile, '--force');
    assert.equal(forced.code, 0);
    assert.match(forced.err, /warning: .*p= is empty/);
  });

  it('adopts the record that stands, so that the key can be activated at once', async () => {
    dns.set(NAME, RECORD);
    const adopted = await run(...one, pemFile, '--adopt-record');
    assert.equal(adopted.code, 0, adopted.err);
    assert.match(adopted.out, /mail {2}rsa1024 {2}file {2}verified/);
    assert.match(adopted.out, /ours from now on/);
    const adoption = (await journal()).find(({ event }) => event === 'record-adopted');
    assert.equal(adoption?.record?.value, RECORD);
    assert.notEqual(adoption?.caller, '');
    assert.equal((await run(...one, pemFile)).code, 0);
  });

  it('imports the tables of OpenDKIM and ends with 0 when all was translated', async () => {
    await writeFile(signingTable, '*@example.com mail\n*@example.net mail:@%\n');
    const tables = ['--key-table', keyTable, '--signing-table', `refile:${signingTable}`] as const;
    const dry = await run(...tables, '--dry-run');
    assert.equal(dry.code, 0, dry.err);
    assert.match(dry.out, /example\.net {2}mail .* absent {2}would-import/);
    const { code, out } = await run(...tables);
    assert.equal(code, 0);
    assert.match(out, /One private key for example\.com, example\.net \(mail\): it stays shared/);
    assert.match(out, /SigningTable:2: the signer for i= is left out/);
    assert.match((await run(...tables)).out, /already-there/);
  });

  it('lists what it cannot translate with its line, and ends with 3', async () => {
    await writeFile(signingTable, '*@example.com mail\nboss@example.net mail\n* gone\n');
    const tables = ['--key-table', keyTable, '--signing-table', `refile:${signingTable}`] as const;
    const { code, out, err } = await run(...tables);
    assert.equal(code, 3);
    assert.match(out, /example\.com {2}mail/);
    assert.match(err, /this needs you:\n {2}\S+SigningTable:3: the KeyTable has no key "gone"/);
    assert.match(err, /SigningTable:2: "boss@example\.net" is for single addresses\n {4}hint: /);
    const json = JSON.parse((await run(...tables, '--json')).out);
    assert.ok(json.untranslated.length >= 2);
    assert.equal(json.keys[0].domain, 'example.com');
  });

  it('says which back end an ARN is for', async () => {
    const { code, err } = await run(...one, '--arn', ARN, '--backend', 'file');
    assert.equal(code, 3);
    assert.match(err, /kms-sign only\nhint: /);
  });

  const mistakes: readonly (readonly string[])[] = [
    ['example.com', 'file'],
    ['example.com', '--selector', 'mail'],
    ['example.com', 'file', '--selector', 'mail', '--arn', ARN],
    ['--selector', 'mail', '--arn', ARN],
    ['example.com', '--opendkim-conf', 'x'],
    ['--opendkim-conf', 'x', '--selector', 'mail'],
    ['--opendkim-conf', 'x', '--for', 'a_b'],
    ['example.com', 'file', '--selector', 'mail', '--backend', 'flie'],
  ];
  for (const args of mistakes) {
    it(`refuses "${args.join(' ')}" before anything is done`, async () => {
      await assert.rejects(run(...args), CommanderError);
    });
  }
});
