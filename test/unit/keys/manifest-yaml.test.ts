import assert from 'node:assert/strict';
import fc from 'fast-check';
import { KeysError } from '../../../src/keys/keys-error.ts';
import { changeManifest, newManifest, parseManifest } from '../../../src/keys/manifest-yaml.ts';

const KEY = [
  '      - selector: wx202611e1',
  '        algorithm: ed25519',
  '        backend: file',
  '        state: active',
  '        publicKey: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
  '        ttlS: 3600',
  '        createdAt: 2026-11-21T09:00:00Z',
];
const HEAD = ['version: 1', 'generation: 7', 'domains:', '  example.com:'];

function text(keyLines: readonly string[] = KEY, head: readonly string[] = HEAD): string {
  return `${[...head, '    subdomains: true', '    keys:', ...keyLines].join('\n')}\n`;
}

function refusal(yaml: string): string {
  try {
    parseManifest(yaml, 'keys/test.yaml');
  } catch (error) {
    assert.ok(error instanceof KeysError);
    assert.equal(error.code, 'manifest-invalid');
    assert.match(error.message, /^keys\/test\.yaml/);
    return error.message;
  }
  assert.fail('it was accepted');
}

/** The text with the line that begins with a name replaced. */
function withLine(name: string, line: string): string {
  return text(
    KEY.map((old) => (old.slice(8).startsWith(name) ? `${old.slice(0, 8)}${line}` : old)),
  );
}

describe('manifest', () => {
  it('is read', () => {
    const { manifest } = parseManifest(text(), 'f');
    assert.equal(manifest.generation, 7);
    assert.equal(manifest.domains.length, 1);
    const [domain] = manifest.domains;
    assert.equal(domain?.subdomains, true);
    assert.equal(domain?.keys[0]?.selector, 'wx202611e1');
    assert.equal(domain?.keys[0]?.activatedAt, undefined);
  });

  it('names line, place and the nearest known name for a typo', () => {
    assert.match(
      refusal(withLine('state', 'state: activ')),
      /line 10: domains\."example\.com"\.keys\[0\]\.state must be one of .*did you mean "active"\?/,
    );
    assert.match(
      refusal(withLine('selector', 'selector: a').replace('subdomains', 'subdomain')),
      /line 5: domains\."example\.com"\.subdomain is not known here; did you mean "subdomains"\?/,
    );
  });

  it('names all problems, not only the first', () => {
    const yaml = withLine('state', 'state: 7').replace('ttlS: 3600', 'ttlS: 1');
    assert.match(refusal(yaml), /state must be/);
    assert.match(refusal(yaml), /ttlS must be a whole number from 30 to 86400/);
  });

  const faults: readonly [string, string, RegExp][] = [
    ['an empty file', '', /must be a mapping/],
    ['a missing field', withLine('ttlS', '# nothing'), /keys\[0\] lacks "ttlS"/],
    ['another version', text().replace('version: 1', 'version: 2'), /version must be 1/],
    ['a wrong generation', text().replace('generation: 7', 'generation: x'), /generation must be/],
    ['an upper-case domain', text().replace('example.com', 'Example.com'), /write "example\.com"/],
    [
      'a U-label',
      text().replace('example.com', 'bücher.example'),
      /write "xn--bcher-kva\.example"/,
    ],
    ['a path as domain', text().replace('example.com', '../../etc'), /is no domain name/],
    ['a path as selector', withLine('selector', 'selector: ../x'), /must be a selector/],
    ['an unknown algorithm', withLine('algorithm', 'algorithm: dsa'), /algorithm must be/],
    ['a tiny RSA algorithm', withLine('algorithm', 'algorithm: rsa512'), /algorithm must be/],
    ['a key of another algorithm', withLine('algorithm', 'algorithm: rsa2048'), /holds no public/],
    ['a public key that is none', withLine('publicKey', 'publicKey: AAAA'), /holds no public key/],
    ['an unknown back end', withLine('backend', 'backend: fiel'), /did you mean "file"/],
    ['a local time', withLine('createdAt', 'createdAt: 2026-11-21 09:00'), /a time in UTC/],
    ['a duplicate key', text().replace('generation: 7', 'version: 1'), /line 2: the same key/],
    ['a domain twice', `${text()}  "example.com": {keys: []}\n`, /line 14: the same key/],
    ['an alias', text().replace('generation: 7', 'generation: *x'), /anchors and aliases/],
    ['an anchor', text().replace('generation: 7', 'generation: &x 7'), /anchors and aliases/],
    ['a merge key', text().replace('generation: 7', '<<: {generation: 7}'), /"<<" is not known/],
    ['a tag', text().replace('generation: 7', 'generation: !!js/function 7'), /a tag/],
    ['a second document', `${text()}---\na: 1\n`, /second document/],
    ['__proto__', text().replace('generation: 7', '__proto__: {generation: 7}'), /__proto__/],
    ['__proto__ as domain', text().replace('example.com', '__proto__'), /is no domain name/],
    ['constructor in a key', withLine('ttlS', 'constructor: 1'), /constructor.* is not known/],
    ['a number as key', text().replace('generation: 7', '7: 7'), /"7" is not known/],
    ['a list as key', text().replace('generation: 7', '? [a]\n: 7'), /a key is no text/],
    ['no YAML', 'a: [b', /is no valid YAML|line 1/],
    ['nesting beyond measure', `a: ${'['.repeat(20_000)}`, /keys\/test\.yaml/],
  ];
  for (const [what, yaml, message] of faults) {
    it(`refuses ${what}`, () => assert.match(refusal(yaml), message));
  }

  it('refuses an alias bomb without expanding it', () => {
    const lines = ['a0: &a0 [x, x]'];
    for (let n = 1; n < 60; n += 1) lines.push(`a${n}: &a${n} [*a${n - 1}, *a${n - 1}]`);
    assert.match(refusal(lines.join('\n')), /anchors and aliases/);
  });

  it('is read or refused with a code, whatever was done to it', () => {
    const whole = text();
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom('*', '&a', '!!x', '{', '[', '? ', '- ', '"'),
    );
    const damage = fc.tuple(fc.nat(whole.length), fc.nat(40), piece);
    fc.assert(
      fc.property(damage, ([start, length, inserted]) => {
        const changed = whole.slice(0, start) + inserted + whole.slice(start + length);
        try {
          assert.ok(parseManifest(changed, 'f').manifest.generation >= 1);
        } catch (error) {
          assert.ok(error instanceof KeysError, String(error));
          assert.equal(error.code, 'manifest-invalid');
        }
      }),
    );
  });

  it('refuses a second active key of a kind, and a selector twice', () => {
    assert.match(refusal(text([...KEY, ...KEY])), /"wx202611e1" stands twice/);
    const other = KEY.map((line) => line.replace('wx202611e1', 'wx202611e2'));
    assert.match(
      refusal(text([...KEY, ...other])),
      /keys\[1\]\.state a second active ed25519 key, beside "wx202611e1"/,
    );
    const retiring = other.map((line) => line.replace('active', 'retiring'));
    assert.equal(
      parseManifest(text([...KEY, ...retiring]), 'f').manifest.domains[0]?.keys.length,
      2,
    );
  });

  it('never quotes a private key that was pasted by mistake', () => {
    const canary = 'MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC';
    const pem = ['-----BEGIN PRIVATE KEY-----', canary, '-----END PRIVATE KEY-----'];
    const places = [
      withLine('publicKey', `publicKey: ${canary}`),
      withLine('state', `state: ${canary}`),
      withLine('selector', `selector: ${canary}`),
      withLine('publicKey', `publicKey: |\n${pem.map((line) => `          ${line}`).join('\n')}`),
      text([...KEY, `      - ${canary}`]),
      pem.join('\n'),
      `${text()}${pem.join('\n')}`,
    ];
    for (const yaml of places) assert.ok(!refusal(yaml).includes(canary.slice(20, 50)), yaml);
  });

  it('is changed without losing comments and other domains', () => {
    const source = parseManifest(`# mine\n${text()}  # about b\n  b.example:\n    keys: []\n`, 'f');
    const [domain] = source.manifest.domains;
    assert.ok(domain !== undefined);
    const change = { ...domain, subdomains: false };
    const { text: changed } = changeManifest(source, 8, change, 'f');
    assert.match(changed, /^# mine/);
    assert.match(changed, /# about b/);
    const { manifest } = parseManifest(changed, 'f');
    assert.equal(manifest.generation, 8);
    assert.deepEqual(
      manifest.domains.map((entry) => [entry.domain, entry.subdomains, entry.keys.length]),
      [
        ['example.com', false, 1],
        ['b.example', false, 0],
      ],
    );
  });

  it('of a new keyring is block style and reads back', () => {
    const change = { domain: 'a.example', subdomains: true, keys: [] };
    const { text: changed } = changeManifest(newManifest(), 2, change, 'f');
    assert.match(changed, /\n {2}a\.example:\n {4}subdomains: true\n/);
    assert.equal(parseManifest(changed, 'f').manifest.generation, 2);
  });
});
