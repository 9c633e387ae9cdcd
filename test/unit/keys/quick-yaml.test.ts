import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ManifestDomain } from '../../../src/keys/manifest.ts';
import {
  changeManifest,
  changeQuickly,
  newManifest,
  parseManifest,
  parseQuickly,
  parseThoroughly,
} from '../../../src/keys/manifest-yaml.ts';
import { loadQuickly } from '../../../src/keys/quick-yaml.ts';

const key = (selector: string, more: object = {}): ManifestDomain['keys'][number] => ({
  selector,
  algorithm: 'ed25519',
  backend: 'kms-envelope',
  state: 'retiring',
  publicKey: '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
  ttlS: 3600,
  createdAt: '2026-11-21T09:00:00.000Z',
  activatedAt: undefined,
  retiringSince: undefined,
  ...more,
});

const SAMPLE = `# mine
version: 1
generation: 7
domains:
  # about a
  a.example:
    subdomains: true
    keys:
      - selector: s1
        algorithm: ed25519
        backend: kms-envelope
        # why
        material:
          wrappingKey: arn:aws:kms:eu-central-1:111122223333:key/1
          ciphertext: AQ+/==
        state: created
        publicKey: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
        ttlS: 3600
        createdAt: 2026-11-21T09:00:00.000Z

      - selector: "123"
        algorithm: ed25519
        backend: file
        state: created
        publicKey: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
        ttlS: 300
        createdAt: 2026-11-21T09:00:00Z
    lease:
      holder: host 1 keys rotate, root
      fence: 3
      until: 1970-01-01T00:00:00.000Z
  b.example:
    keys: []
# the end
`;

describe('YAML that is read quickly', () => {
  it('is read as the thorough library reads it', () => {
    const quick = parseQuickly(SAMPLE);
    assert.equal(quick?.domains.length, 2);
    assert.deepEqual(quick, parseThoroughly(SAMPLE, 'f'));
  });

  const others: readonly [string, string][] = [
    ['an anchor', 'a: &x 1'],
    ['an alias', 'a: *x'],
    ['a tag', 'a: !!str 1'],
    ['a block text', 'a: |\n  b'],
    ['a folded text', 'a: >\n  b'],
    ['nothing', ''],
    ['an escape', 'a: "\\n"'],
    ['single quotes', "a: 'b'"],
    ['a tab', 'a:\tb'],
    ['a carriage return', 'a: b\r\nc: d'],
    ['another character', 'a: ü'],
    ['a key twice', 'a: 1\na: 2'],
    ['a merge key', '<<: a'],
    ['a directive', '%YAML 1.1\n---\na: b'],
    ['two documents', 'a: b\n---\na: b'],
    ['a key that is a mapping', '? a: b\n: c'],
    ['a wrong indentation', 'a:\n    b: c\n  d: e'],
    [
      'a depth beyond measure',
      Array.from({ length: 12 }, (_, n) => `${' '.repeat(n)}a:`).join('\n'),
    ],
  ];
  for (const [what, text] of others) {
    it(`leaves ${what} to that library`, () => assert.equal(loadQuickly(text), undefined));
  }

  it('never differs from that library, whatever was done to a text', () => {
    const piece = fc.oneof(
      fc.string({ maxLength: 3 }),
      fc.constantFrom(
        ...['*', '&a ', '!!x ', '{', '}', '[]', '? ', '- ', '"', "'", ': ', ':', ' #', '#', '\n'],
        ...['\n\n', '  ', '    ', '|', '>', '~', 'null', 'true', '0', '1.', '.5', '1e3', '---\n'],
        ...['...\n', '\n- ', '\n  - ', '\t', '\r\n', '%', '@', '`', ',', '<<: ', '-', '+1', '_'],
      ),
    );
    const damage = fc.tuple(fc.nat(SAMPLE.length), fc.nat(5), piece);
    let taken = 0;
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 2 }), (damages) => {
        let text = SAMPLE;
        for (const [start, length, inserted] of damages) {
          text = text.slice(0, start) + inserted + text.slice(start + length);
        }
        const quick = parseQuickly(text);
        if (quick === undefined) return;
        taken += 1;
        assert.deepEqual(quick, parseThoroughly(text, 'f'), text);
      }),
      { numRuns: 3000 },
    );
    assert.ok(taken > 100, `only ${taken} texts were read`);
  });

  it('is what we write, and a change touches nothing but its domain', () => {
    const name = fc.constantFrom('a.example', 'b.example', 'c.example', '123.example', 'x--y.test');
    const text = fc.oneof(
      fc.string({ minLength: 1, maxLength: 40 }),
      fc.constantFrom('123', 'true', 'a: b', '- a', '', ' ', '1e5', 'host, 7', '~').filter(Boolean),
      fc.base64String({ minLength: 4 }),
    );
    const domain = fc.record({
      domain: name,
      subdomains: fc.boolean(),
      keys: fc
        .array(fc.record({ ciphertext: text, wrappingKey: text }), { maxLength: 3 })
        .map((materials) => materials.map((material, at) => key(`s${at}`, { material }))),
      lease: fc.option(
        fc.record({
          holder: fc.constantFrom('host 1, keys', 'a: b', '#1', '42'),
          fence: fc.integer({ min: 1, max: 99 }),
          until: fc.constant('2026-11-21T09:00:00.000Z'),
        }),
        { nil: undefined },
      ),
    });
    fc.assert(
      fc.property(fc.array(domain, { minLength: 1, maxLength: 8 }), (changes) => {
        let source = newManifest();
        const expected = new Map<string, ManifestDomain>();
        for (const [at, change] of changes.entries()) {
          const generation = at + 2;
          const { text: written } = changeManifest(source, generation, change, 'f');
          const isPlain = loadQuickly(written) !== undefined;
          assert.equal(
            isPlain ? changeQuickly(source, generation, change)?.text : written,
            written,
          );
          source = parseManifest(written, 'f');
          expected.set(change.domain, change);
          assert.ok(written.startsWith('# DKIM keyring'));
          assert.equal(source.manifest.generation, generation);
          const domains = Object.fromEntries(
            source.manifest.domains.map((entry) => [entry.domain, JSON.stringify(entry)]),
          );
          for (const [domain, entry] of expected) {
            assert.deepEqual(JSON.parse(domains[domain] ?? ''), JSON.parse(JSON.stringify(entry)));
          }
          assert.equal(source.manifest.domains.length, expected.size);
          assert.deepEqual(parseThoroughly(written, 'f'), source.manifest);
        }
      }),
    );
  });

  it('keeps comments of other domains, and blank lines, where they are', () => {
    const text = `# mine
version: 1
generation: 7
domains:
  # about a
  a.example:
    subdomains: true
    keys: []

  # about b
  b.example:
    keys: []
# the end
`;
    const source = parseManifest(text, 'f');
    const change = { domain: 'b.example', subdomains: true, keys: [] };
    const { text: changed } = changeManifest(source, 8, change, 'f');
    assert.equal(
      changed,
      `# mine
version: 1
generation: 8
domains:
  # about a
  a.example:
    subdomains: true
    keys: []

  # about b
  b.example:
    subdomains: true
    keys: []
# the end
`,
    );
  });

  it('of another layout is changed by the library', () => {
    const text = 'version: 1\ngeneration: 1\ndomains: {a.example: {keys: []}}\n';
    const domain = { domain: 'b.example', subdomains: false, keys: [] };
    const { text: changed } = changeManifest(parseManifest(text, 'f'), 2, domain, 'f');
    const { manifest } = parseManifest(changed, 'f');
    assert.deepEqual(
      manifest.domains.map((entry) => entry.domain),
      ['a.example', 'b.example'],
    );
    const wide = 'version: 1\ngeneration: 1\ndomains:\n      a.example:\n        keys: []\n';
    const { text: both } = changeManifest(parseManifest(wide, 'f'), 2, domain, 'f');
    assert.equal(parseManifest(both, 'f').manifest.domains.length, 2);
  });
});
