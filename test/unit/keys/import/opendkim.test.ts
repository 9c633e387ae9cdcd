import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { activateKeys } from '../../../../src/keys/activate-keys.ts';
import {
  type ImportOpenDkimRequest,
  importOpenDkim,
  type OpenDkimImport,
} from '../../../../src/keys/import/import-opendkim.ts';
import { loadKeyring } from '../../../../src/keys/keyring.ts';
import { type KeyringAccess, keyringAccess } from '../../../../src/keys/keyring-access.ts';
import {
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
  TxtTable,
} from '../../../support/keyring.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { opendkimSignatures, type SignedAs } from '../../../support/opendkim.ts';
import { requirePeer } from '../../../support/peers.ts';

/** Made once; each line of a table names one. */
const rsa = () => generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
const KEYS = { a: rsa(), b: rsa(), c: rsa() };
const INLINE = KEYS.c.export({ type: 'pkcs1', format: 'der' }).toString('base64');

interface TableCase {
  readonly what: string;
  /** KEYDIR stands for the folder of the keys, TABLES for that of the tables. */
  readonly keyTable: string;
  readonly signingTable: string;
  readonly kinds?: readonly ['file' | 'refile', 'file' | 'refile'];
  readonly conf?: string;
  readonly domains?: readonly string[];
  readonly subdomains?: boolean;
  /** Addresses for which Waxseal must sign as OpenDKIM does (which may be: not at all). */
  readonly same: readonly string[];
  /** Places and beginnings of what is listed as not translated. */
  readonly untranslated?: readonly string[];
}

const CASES: readonly TableCase[] = [
  {
    what: 'a key for each domain, with comments, blanks and tabs',
    keyTable:
      '# keys\n\nka\texample.com:mail:KEYDIR/a.pem # the old one\n  kb example.net:s2:KEYDIR/b.pem\n',
    signingTable: '*@example.com ka\n*@EXAMPLE.net   kb\n',
    same: ['Joe@example.com', 'joe@Example.NET', 'joe@sub.example.com', 'joe@other.example'],
  },
  {
    what: 'one key shared by several domains, by % in the KeyTable',
    keyTable: 'shared %:mail:KEYDIR/a.pem\n',
    signingTable: '*@example.com shared\n*@example.net shared\n*@example.org shared\n',
    same: ['joe@example.com', 'joe@example.net', 'joe@example.org', 'joe@example.info'],
  },
  {
    what: 'subdomains by a wildcard',
    keyTable: 'ka example.com:mail:KEYDIR/a.pem\n',
    signingTable: '*@example.com ka\n*@*.example.com ka:@%\n',
    same: ['joe@example.com', 'joe@a.example.com', 'joe@a.b.example.com', 'joe@notexample.com'],
  },
  {
    what: 'the first of two patterns that match',
    keyTable: 'ka sub.example.com:s1:KEYDIR/a.pem\nkb example.com:s2:KEYDIR/b.pem\n',
    signingTable: '*@sub.example.com ka\n*@*.example.com kb\n*@example.com kb\n',
    same: ['joe@example.com', 'joe@sub.example.com', 'joe@x.example.com', 'joe@x.sub.example.com'],
  },
  {
    what: 'the lookups of a plain file: host, then .domain, not the order of lines',
    kinds: ['file', 'file'],
    keyTable: 'ka sub.example.com:s1:KEYDIR/a.pem\nkb example.com:s2:KEYDIR/b.pem\n',
    signingTable: '.example.com kb\n  sub.example.com ka\nexample.com kb\n',
    same: ['joe@example.com', 'joe@sub.example.com', 'joe@x.example.com'],
  },
  {
    what: 'an inline key, and a path that is relative to BaseDirectory',
    conf: 'BaseDirectory KEYDIR\n',
    keyTable: `kc example.com:inline:${INLINE}\nka example.net:rel:./a.pem\n`,
    signingTable: '*@example.com kc\n*@example.net ka\n',
    same: ['joe@example.com', 'joe@example.net'],
  },
  {
    what: 'a pattern for everybody with keys in folders named by domain',
    keyTable: 'all %:mail:KEYDIR/by-domain/%/mail.pem\n',
    signingTable: '* all\n',
    same: ['joe@one.example', 'joe@two.example'],
  },
  {
    what: 'a pattern for everybody with one key, for the domains that are named',
    keyTable: 'all %:mail:KEYDIR/a.pem\n',
    signingTable: '*@* all\n',
    domains: ['one.example', 'two.example'],
    same: ['joe@one.example', 'joe@two.example'],
  },
  {
    what: 'key names from the address, found by a refile of keys',
    kinds: ['refile', 'refile'],
    keyTable: 'key-* %:mail:KEYDIR/b.pem\n*.example %:s2:KEYDIR/a.pem\n',
    signingTable: '*@one.example %\n*@two.example key-2\n',
    same: ['joe@one.example', 'joe@two.example'],
  },
  {
    what: 'Domain, Selector and KeyFile without tables',
    conf: 'Domain example.com, example.net\nSelector mail\nKeyFile KEYDIR/a.pem\n',
    keyTable: '',
    signingTable: '',
    same: ['joe@example.com', 'joe@example.net', 'joe@sub.example.com', 'joe@example.org'],
  },
  {
    what: 'Domain with SubDomains',
    conf: 'Domain example.com\nSubDomains yes\nSelector mail\nKeyFile KEYDIR/a.pem\n',
    keyTable: '',
    signingTable: '',
    same: ['joe@example.com', 'joe@sub.example.com'],
  },
  {
    what: 'a line for one address beside the domain, when both have the same key',
    keyTable: 'ka example.com:mail:KEYDIR/a.pem\n',
    signingTable: 'boss@example.com ka\n*@example.com ka\n',
    same: ['boss@example.com', 'joe@example.com'],
  },
  {
    what: 'lists what signs by address, as another domain, by a cut wildcard, or not at all',
    keyTable:
      'ka example.com:mail:KEYDIR/a.pem\nkb other.example:s2:KEYDIR/b.pem\nbad example.net\n',
    signingTable:
      'boss@example.com kb\n*@example.com ka\n*@third.example ka\n*@mail*.example.com ka\n*@gone.example gone\n*@example.net bad\n*@(a|b).example ka\n',
    same: ['joe@example.com'],
    untranslated: [
      'KeyTable:3 the entry of "bad"',
      'SigningTable:3 mail of third.example was signed as example.com',
      'SigningTable:5 the KeyTable has no key "gone"',
      'SigningTable:6 the KeyTable has no key "bad"',
      'SigningTable:1 "boss@example.com" is for single addresses',
      'SigningTable:4 "*@mail*.example.com" stands for addresses',
      'SigningTable:7 "*@(a|b).example" holds signs of a regular expression',
    ],
  },
  {
    what: 'lists a fallback for everybody, and imports its key',
    keyTable: 'ka example.com:mail:KEYDIR/a.pem\n',
    signingTable: '* ka\n',
    same: ['joe@example.com'],
    untranslated: ['SigningTable:1 "*" signs the mail of every domain as example.com'],
  },
  {
    what: 'lists a wildcard in a plain file, which never matches',
    kinds: ['file', 'file'],
    keyTable: 'ka example.com:mail:KEYDIR/a.pem\n',
    signingTable: '*@example.com ka\n',
    same: ['joe@example.com'],
    untranslated: ['SigningTable:1 "*@example.com" never matches'],
  },
  {
    what: 'lists subdomains that each sign as themselves',
    keyTable: 'ka %:mail:KEYDIR/a.pem\n',
    signingTable: '*@*.example.com ka\n',
    same: ['joe@example.com'],
    untranslated: ['SigningTable:1 each subdomain of example.com was signed as itself'],
  },
  {
    what: 'lists a pattern for some users, whose key does not become that of the domain',
    keyTable: 'ka example.com:s1:KEYDIR/a.pem\nkb example.com:s2:KEYDIR/b.pem\n',
    signingTable: 'w*@example.com ka\n*n@example.com ka\n*@w*.example.com ka\n*@example.com kb\n',
    same: ['joe@example.com'],
    untranslated: [
      'SigningTable:1 "w*@example.com" stands for addresses',
      'SigningTable:2 "*n@example.com" stands for addresses',
      'SigningTable:3 "*@w*.example.com" stands for addresses',
    ],
  },
  {
    what: 'lists subdomains whose keys are called by their names',
    keyTable: 'a.example.com a.example.com:mail:KEYDIR/a.pem\n',
    signingTable: '*@*.example.com %\n',
    same: ['joe@example.com'],
    untranslated: ['SigningTable:1 each subdomain of example.com was signed as itself'],
  },
  {
    what: 'takes those that are named',
    keyTable: 'a.example.com a.example.com:mail:KEYDIR/a.pem\n',
    signingTable: '*@*.example.com %\n',
    domains: ['a.example.com'],
    same: ['joe@a.example.com', 'joe@example.com'],
  },
  {
    what: 'takes such subdomains where they are named',
    keyTable: 'ka %:mail:KEYDIR/a.pem\n',
    signingTable: '*@*.example.com ka\n',
    domains: ['one.example.com', 'two.example.com'],
    same: ['joe@one.example.com', 'joe@two.example.com', 'joe@example.com'],
  },
  {
    what: 'takes a subdomain that signs as its parent where --subdomains allows that',
    keyTable: 'ka example.com:mail:KEYDIR/a.pem\n',
    signingTable: '*@sub.example.com ka\n*@example.com ka\n',
    subdomains: true,
    same: ['joe@example.com', 'joe@sub.example.com'],
  },
  {
    what: 'lists such a subdomain otherwise',
    keyTable: 'ka example.com:mail:KEYDIR/a.pem\n',
    signingTable: '*@sub.example.com ka\n*@example.com ka\n',
    same: ['joe@example.com'],
    untranslated: ['SigningTable:1 mail of sub.example.com was signed as example.com'],
  },
  {
    what: 'lines that end as on Windows, and trailing blanks',
    keyTable: 'ka example.com:mail:KEYDIR/a.pem \t\r\n\r\nkb example.net:s2:KEYDIR/b.pem\r\n',
    signingTable: '*@example.com ka\r\n*@example.net kb  \r\n',
    same: ['joe@example.com', 'joe@example.net'],
  },
  {
    what: 'passes over a line of a refile that begins with white space, as OpenDKIM does',
    keyTable: 'ka example.com:mail:KEYDIR/a.pem\n',
    signingTable: ' *@example.net ka\n*@example.com ka\n',
    same: ['joe@example.com', 'joe@example.net'],
  },
];

describe("import of OpenDKIM's tables", () => {
  let place: KeyringPlace;
  let access: KeyringAccess;
  let dns: TxtTable;
  let confFile: string;

  beforeEach(async () => {
    place = await makeKeyringPlace();
    access = keyringAccess(place, new ManualClock(Date.parse('2026-11-25T09:00:00Z')));
    dns = new TxtTable();
    confFile = path.join(place.root, 'opendkim.conf');
    for (const [name, key] of Object.entries(KEYS)) {
      const pem = key.export({ type: 'pkcs1', format: 'pem' });
      await writeFile(path.join(place.root, `${name}.pem`), pem, { mode: 0o600 });
    }
    for (const [domain, key] of [
      ['one.example', KEYS.a],
      ['two.example', KEYS.b],
    ] as const) {
      const dir = path.join(place.root, 'by-domain', domain);
      await mkdir(dir, { recursive: true });
      await writeFile(path.join(dir, 'mail.pem'), key.export({ type: 'pkcs8', format: 'pem' }));
    }
  });
  afterEach(async () => await removeKeyringPlace(place));

  async function write(given: TableCase): Promise<void> {
    const fill = (text: string) => text.replaceAll('KEYDIR', place.root);
    await writeFile(path.join(place.root, 'KeyTable'), fill(given.keyTable));
    await writeFile(path.join(place.root, 'SigningTable'), fill(given.signingTable));
    const [keys, signing] = given.kinds ?? ['file', 'refile'];
    const tables =
      given.keyTable === ''
        ? ''
        : `KeyTable ${keys}:${place.root}/KeyTable\nSigningTable ${signing}:${place.root}/SigningTable\n`;
    const head = 'Mode s # sign\nSyslog no\nRequireSafeKeys no\nOversignHeaders From\n';
    await writeFile(confFile, `${head}${tables}${fill(given.conf ?? '')}`);
  }

  async function importTables(
    changes: Partial<ImportOpenDkimRequest> = {},
  ): Promise<OpenDkimImport> {
    const request: ImportOpenDkimRequest = {
      confFile,
      keyTable: undefined,
      signingTable: undefined,
      domains: [],
      backend: 'file',
      subdomains: undefined,
      ttlS: 3600,
      adoptRecord: false,
      force: false,
      dryRun: false,
      ...changes,
    };
    return await importOpenDkim(access, request, {
      lookup: dns,
      standing: async () => ({ kind: 'unknown', reason: 'not asked' }),
      journal: undefined,
      clock: access.clock,
      caller: 'test',
    });
  }

  /** What a relay with this keyring signs as, once all keys are active. */
  async function waxsealSignatures(from: string): Promise<readonly SignedAs[]> {
    const keyring = await loadKeyring(place);
    const found = keyring.keysFor(from.slice(from.indexOf('@') + 1).toLowerCase());
    if (found.kind !== 'keys') return [];
    return found.keys.map(({ domain, selector }) => ({ domain, selector }));
  }

  for (const given of CASES) {
    it(`${given.what}`, async function () {
      const opendkim = requirePeer(this, 'opendkim');
      await write(given);
      const { domains = [], subdomains } = given;
      const imported = await importTables({ domains, subdomains });
      assert.deepEqual(imported.failed, []);
      const listed = imported.untranslated.map(
        ({ place: where, message }) => `${path.basename(where)} ${message}`,
      );
      const expected = given.untranslated ?? [];
      assert.deepEqual(
        listed.map((text) => expected.find((start) => text.startsWith(start)) ?? text),
        expected,
      );
      for (const domain of new Set(imported.keys.map((key) => key.domain.domain))) {
        await activateKeys(access, { domain, selectors: [], force: true }, dns);
      }
      if (imported.keys.length === 0) return;
      let signed = 0;
      for (const from of given.same) {
        const theirs = await opendkimSignatures(opendkim, confFile, from);
        signed += theirs.length;
        assert.deepEqual(await waxsealSignatures(from), theirs, from);
      }
      assert.ok(signed > 0, 'OpenDKIM signed nothing, so nothing was compared');
    });
  }

  const SHARED = CASES[1]!;

  it('keeps a key that domains share as it is, in each of them', async () => {
    await write(SHARED);
    const imported = await importTables();
    assert.deepEqual(imported.shared, [
      { domains: ['example.com', 'example.net', 'example.org'], selectors: ['mail'] },
    ]);
    const [first, ...others] = imported.keys.map(({ key }) => key.publicKey);
    assert.ok(others.length === 2 && others.every((publicKey) => publicKey === first));
  });

  it('imports all keys of MultipleSignatures, and says that one of a kind can be active', async () => {
    const two: TableCase = {
      ...SHARED,
      keyTable: 'ka %:s1:KEYDIR/a.pem\nkb %:s2:KEYDIR/b.pem\nunused %:s3:KEYDIR/c.pem\n',
      signingTable: '*@example.com ka\n*@example.com kb:@example.com\n',
    };
    await write(two);
    assert.equal((await importTables({ dryRun: true })).keys.length, 1);
    await write({ ...two, conf: 'MultipleSignatures yes\n' });
    const imported = await importTables();
    assert.deepEqual(
      imported.keys.map(({ key }) => key.selector),
      ['s1', 's2'],
    );
    const told = imported.remarks.map(({ message }) => message).join('\n');
    assert.match(told, /example\.com has several keys: s1, s2/);
    assert.match(told, /no line signs with "unused"/);
    assert.match(told, /the signer for i= is left out/);
    assert.match(told, /example\.com, selector s2: RSA with 1024 bits is weak/);
  });

  it('changes nothing in a dry run, and nothing when it is run again', async () => {
    await write(SHARED);
    const dry = await importTables({ dryRun: true });
    assert.deepEqual(
      dry.keys.map(({ outcome }) => outcome),
      Array(3).fill('would-import'),
    );
    await assert.rejects(access.store.read(), { code: 'keyring-missing' });
    await importTables();
    const { generation } = await access.store.read();
    const again = await importTables();
    assert.deepEqual(
      again.keys.map(({ outcome }) => outcome),
      Array(3).fill('already-there'),
    );
    assert.equal((await access.store.read()).generation, generation);
  });

  it('imports the others when one key cannot be read, or another record stands for it', async () => {
    await write({
      ...SHARED,
      keyTable:
        'ka example.com:mail:KEYDIR/a.pem\nkb example.net:mail:KEYDIR/gone.pem\nkc example.org:mail:KEYDIR/c.pem\nkd example.info:mail:AAAA\n',
      signingTable: '*@example.com ka\n*@example.net kb\n*@example.org kc\n*@example.info kd\n',
    });
    dns.set('mail._domainkey.example.org', 'v=DKIM1; p=');
    const imported = await importTables();
    assert.deepEqual(
      imported.keys.map(({ domain }) => domain.domain),
      ['example.com'],
    );
    assert.deepEqual(
      imported.failed.map(({ domain, code, place: where }) => [domain, code, path.basename(where)]),
      [
        ['example.net', 'key-unreadable', 'KeyTable:2'],
        ['example.org', 'key-record-other', 'KeyTable:3'],
        ['example.info', 'key-format', 'KeyTable:4'],
      ],
    );
    assert.equal((await importTables({ force: true })).failed.length, 2);
  });

  it('never shows an inline key, even a damaged one', async () => {
    const damaged = `${INLINE.slice(0, 300)}!${INLINE.slice(300, 600)}`;
    await write({
      ...SHARED,
      keyTable: `good example.com:mail:${INLINE}\nbad example.net:mail:${damaged}\nworse ${INLINE}\n`,
      signingTable: '*@example.com good\n*@example.net bad\n*@example.org worse\n',
    });
    const imported = await importTables();
    assert.equal(imported.keys.length, 1);
    const told = JSON.stringify({ ...imported, keys: [] });
    for (let start = 250; start < 800; start += 20) {
      assert.ok(!told.includes(INLINE.slice(start, start + 20)));
    }
  });

  it('follows Include, and says which directives it does not follow', async () => {
    await write({ ...SHARED, conf: 'Include KEYDIR/more.conf\n' });
    await writeFile(path.join(place.root, 'more.conf'), 'SetupPolicyScript /x.lua\n');
    const imported = await importTables();
    assert.equal(imported.keys.length, 3);
    assert.match(imported.untranslated[0]?.place ?? '', /more\.conf:1$/);
    await writeFile(path.join(place.root, 'more.conf'), `Include ${place.root}/more.conf\n`);
    await assert.rejects(importTables(), { code: 'key-table' });
  });

  const refused: readonly [string, string][] = [
    ['db:/etc/opendkim/keys.db', 'key-table'],
    ['dsn:mysql://x', 'key-table'],
    ['a=b,c=d', 'key-table'],
    ['refile:/nonexistent', 'key-table-unreadable'],
  ];
  for (const [keyTable, code] of refused) {
    it(`refuses ${keyTable} with what to do`, async () => {
      await write(SHARED);
      await assert.rejects(importTables({ keyTable }), { code });
    });
  }
});
