import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { parseUsers } from '../../src/accept/users.ts';
import { encodeQuery, readReply } from '../../src/base/dns-message.ts';
import { WaxsealError } from '../../src/base/errors.ts';
import { buildConfig } from '../../src/config/load-config.ts';
import { parseDataSet, parseOpenDkimConf } from '../../src/keys/import/opendkim-conf.ts';
import { planOpenDkim } from '../../src/keys/import/opendkim-plan.ts';
import { parseTable } from '../../src/keys/import/opendkim-table.ts';
import { signingTable } from '../../src/keys/import/signing-rules.ts';
import { isSelector, isSigningDomain } from '../../src/keys/key-name.ts';
import { parseKeyRecord } from '../../src/keys/key-record.ts';
import { parseManifest } from '../../src/keys/manifest-yaml.ts';
import { unsealKey } from '../../src/keys/sealed-key.ts';
import type { FuzzTarget } from './mutation.ts';

const YAML_WORDS = [
  ': ',
  '- ',
  '\n',
  '\n  ',
  '&a ',
  '*a',
  '<<: ',
  '!!js ',
  '{',
  '}',
  '[',
  ']',
  '"',
];
const PROTOTYPE_WORDS = ['__proto__', 'constructor', 'prototype', 'toString'];

/** What a person wrote may be refused, with an error of ours; anything else is a bug. */
function mayRefuse(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof WaxsealError)) throw error;
  }
  assert.equal(Object.keys(Object.prototype).length, 0, 'the prototype of all objects was changed');
}

const question = { name: 'example.com', type: 'MX' } as const;
const dnsHeader = '\x00\x07\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00';
const dnsQuestion = '\x07example\x03com\x00\x00\x0f\x00\x01';
const dnsAnswer = '\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x3c\x00\x09\x00\x0a\x04mail\xc0\x0c';

const dns: FuzzTarget = {
  name: 'answers of a DNS server',
  seeds: [
    `${dnsHeader}${dnsQuestion}${dnsAnswer}`,
    encodeQuery(question, 7, true).toString('latin1'),
  ],
  words: ['\xc0\x0c', '\xc0\xff', '\x3f', '\x00', '\xff\xff', '\x00\x10', '\x00\x29', dnsAnswer],
  check: ({ octets }) => {
    const received = readReply(octets, question, 7);
    if (received.kind !== 'reply') return;
    for (const { ttlS } of received.reply.answers) assert.ok(ttlS >= 0 && ttlS < 2 ** 31);
  },
};

const keyRecord: FuzzTarget = {
  name: 'key records in DNS',
  seeds: ['v=DKIM1; k=rsa; h=sha256; t=s:y; p=MIIBIjAN', 'p='],
  words: ['v=DKIM1', ';', '=', ' ', 'k=ed25519', 'p=', '\t', '\r\n', 'x'.repeat(300)],
  check: ({ octets }) => {
    const parsed = parseKeyRecord(octets.toString('utf8'));
    if (parsed.kind === 'record') assert.match(parsed.record.publicKey, /^[A-Za-z0-9+/]*=*$/);
  },
};

const opendkim: FuzzTarget = {
  name: 'tables of OpenDKIM',
  seeds: [
    '%:mail:/keys/%/mail.pem',
    'a example.com:s1:/a.pem\n*@example.com a:@%\n*@*.example.com a\n',
    '* %\n.example.com b\njoe@example.com c\nKeyTable refile:/x # y\n',
  ],
  words: ['*', '@', '*@', '%', ':', '.', ' ', '\t', '\n', '#', 'example.com', '*@*.', '(', '\r'],
  check: ({ octets }) => {
    const text = octets.toString('utf8');
    for (const kind of ['file', 'refile'] as const) {
      const keyTable = parseTable(text, 'KeyTable', kind);
      const signing = signingTable(parseTable(text, 'SigningTable', kind));
      const domains = ['example.com'];
      for (const multiple of [true, false]) {
        const input = { keyTable, signingTable: signing, multiple, domains, subdomains: multiple };
        for (const { domain, selector } of planOpenDkim(input).keys) {
          assert.ok(isSigningDomain(domain) && isSelector(selector));
        }
      }
    }
    for (const { value } of parseOpenDkimConf(text, 'opendkim.conf').values()) {
      parseDataSet(value, '/');
    }
  },
};

const manifest: FuzzTarget = {
  name: 'keyring manifests',
  seeds: [
    [
      'version: 1',
      'generation: 2',
      'domains:',
      '  example.com:',
      '    subdomains: false',
      '    keys:',
      '      - selector: wx202611e1',
      '        algorithm: ed25519',
      '        backend: file',
      '        state: active',
      '        publicKey: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
      '        ttlS: 3600',
      '        createdAt: 2026-11-21T09:00:00.000Z',
      '',
    ].join('\n'),
  ],
  words: [
    ...YAML_WORDS,
    ...PROTOTYPE_WORDS,
    'domains',
    'keys',
    'selector',
    '../',
    '0',
    '-1',
    '1e9',
  ],
  check: ({ octets }) => mayRefuse(() => parseManifest(octets.toString('utf8'), 'keyring.yaml')),
};

const configuration: FuzzTarget = {
  name: 'configuration files',
  seeds: [
    [
      'server: { name: relay.example.com }',
      'listen: ["127.0.0.1:2525"]',
      'clients: { allow: [10.0.0.0/8] }',
      'route:',
      '  - domains: [.example.net]',
      '    hosts: [mx.example.net]',
      'smarthost: { hosts: [out.example.com], port: 587, tls: verify }',
      'signing: { unmatched: "fallback:example.org" }',
      '',
    ].join('\n'),
  ],
  words: [...YAML_WORDS, ...PROTOTYPE_WORDS, 'limits', 'tls', 'null', '50MiB', '-1', '1e999'],
  check: ({ octets }) =>
    mayRefuse(() => {
      const file = { name: 'waxseal.yaml', text: octets.toString('utf8') };
      const system = { hostName: 'host.example.com', temporaryDirectory: 'tmp' };
      buildConfig({ file, environment: {}, system });
    }),
};

const hash =
  '$scrypt$ln=15,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g';
const users: FuzzTarget = {
  name: 'users files',
  seeds: [`# people\nanna:${hash}\nben:${hash}\n`],
  words: [':', '$', '\n', '=', ',', '#', 'ln=99', '\r', '\0', hash, ...PROTOTYPE_WORDS],
  check: ({ octets }) => mayRefuse(() => parseUsers(octets.toString('utf8'))),
};

const master = { key: createSecretKey(Buffer.alloc(32, 1)), id: '0123456789abcdef', warnings: [] };
const identity = { domain: 'example.com', selector: 'wx1', algorithm: 'ed25519' } as const;
const sealedKey: FuzzTarget = {
  name: 'encrypted private keys',
  seeds: [
    JSON.stringify({
      version: 1,
      cipher: 'aes-256-gcm',
      masterKey: master.id,
      nonce: 'AAAAAAAAAAAAAAAA',
      tag: 'AAAAAAAAAAAAAAAAAAAAAA==',
      ciphertext: 'AAAA',
    }),
  ],
  words: ['"', '{', '}', ':', ',', 'null', '[]', '1e9', 'A', '=', ...PROTOTYPE_WORDS],
  check: ({ octets }) => assert.notEqual(unsealKey(identity, octets, master).kind, 'key'),
};

/** Parsers of what operators write and DNS answers. */
export const operatorTargets: readonly FuzzTarget[] = [
  dns,
  keyRecord,
  opendkim,
  manifest,
  configuration,
  users,
  sealedKey,
];
