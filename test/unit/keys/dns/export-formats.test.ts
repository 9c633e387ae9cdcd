import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { EXPORT_FORMATS } from '../../../../src/keys/dns/export/export-formats.ts';
import type { ExportedRecord } from '../../../../src/keys/dns/export/exported-record.ts';
import { requirePeer } from '../../../support/peers.ts';

const run = promisify(execFile);
const ZONE = 'example.test';
const SCHEMAS = fileURLToPath(new URL('../../../../.cache/crd-schemas', import.meta.url));

/** As the records of keys are: of RSA-4096, of a revoked key, of a slot. */
const RECORDS: readonly ExportedRecord[] = [
  record('wx202611r10', `v=DKIM1; k=rsa; h=sha256; p=${'Ab+/'.repeat(180)}wIDAQAB`),
  record('wx202611r2', 'v=DKIM1; k=rsa; p='),
  record(
    'wx202611e1',
    'v=DKIM1; k=ed25519; h=sha256; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
    300,
  ),
  record('exact', 'x'.repeat(255)),
  {
    name: `wxr1._domainkey.${ZONE}`,
    ttlS: 60,
    type: 'CNAME',
    value: 'wxr1.example.test.keys.prov.test',
  },
];
/** What no key record holds, and a format has to get right all the same. */
const ODD = record('odd', `say "hi" \\ \${x} %{y}; # --- : \\;`);

function record(selector: string, value: string, ttlS = 3600): ExportedRecord {
  return { name: `${selector}._domainkey.${ZONE}`, ttlS, type: 'TXT', value };
}

function render(format: string, records: readonly ExportedRecord[]): string {
  const row = EXPORT_FORMATS.find(({ name }) => name === format);
  assert.ok(row !== undefined);
  return row.render(records, ZONE);
}

function sorted(records: readonly ExportedRecord[]): readonly ExportedRecord[] {
  return records.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

describe('export formats, read back by the tools that they are for', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waxseal-export-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Reads a zone file as BIND does. */
  async function readZone(
    context: Mocha.Context,
    text: string,
  ): Promise<readonly ExportedRecord[]> {
    const file = join(folder, 'zone');
    await writeFile(file, text);
    const args = ['-i', 'none', '-D', '-o', '-', ZONE, file];
    const { stdout } = await run(requirePeer(context, 'named-compilezone'), args);
    const found = stdout
      .split('\n')
      .map((line) => /^(\S+\._domainkey\S*)\s+(\d+)\s+IN\s+(TXT|CNAME)\s+(.*)$/.exec(line))
      .filter((match) => match !== null)
      .map(([, name = '', ttlS, type, data = '']): ExportedRecord => {
        const value = type === 'TXT' ? unquoted(data) : data.replace(/\.$/, '');
        return { name: name.replace(/\.$/, ''), ttlS: Number(ttlS), type: type as 'TXT', value };
      });
    return sorted(found);
  }

  const HEAD = `$ORIGIN ${ZONE}.\n@ 300 IN SOA ns hostmaster 1 3600 600 86400 300\n@ 300 IN NS ns\nns 300 IN A 127.0.0.1\n`;

  it('zone lines: named-compilezone', async function () {
    const records = [...RECORDS, ODD];
    const read = await readZone(this, `${HEAD}${render('zone', records)}`);
    assert.deepEqual(read, sorted(records));
  });

  it('octoDNS: octodns-validate, and octodns-sync into a zone file', async function () {
    const validate = requirePeer(this, 'octodns-validate');
    const sync = requirePeer(this, 'octodns-sync');
    await mkdir(join(folder, 'in'));
    await mkdir(join(folder, 'out'));
    const config = join(folder, 'config.yaml');
    await writeFile(
      config,
      `providers:
  config: { class: octodns.provider.yaml.YamlProvider, directory: ${folder}/in }
  out: { class: octodns_bind.ZoneFileProvider, directory: ${folder}/out }
zones:
  ${ZONE}.: { sources: [config], targets: [out] }
`,
    );
    await writeFile(join(folder, 'in', `${ZONE}.yaml`), render('octodns', RECORDS));
    await run(validate, ['--config-file', config]);
    await run(sync, ['--config-file', config, '--doit', '--force']);
    const written = await readFile(join(folder, 'out', `${ZONE}.`), 'utf8');
    const read = await readZone(this, `${written}\n@ 300 IN NS ns\nns 300 IN A 127.0.0.1\n`);
    assert.deepEqual(read, sorted(RECORDS));
  }).timeout(60_000);

  it('Terraform: an HCL parser', async function () {
    const file = join(folder, 'keys.tf');
    await writeFile(file, render('terraform', [...RECORDS, ODD]));
    const { stdout } = await run(requirePeer(this, 'hcl2tojson'), [file]);
    const { resource } = JSON.parse(stdout) as {
      resource: Record<string, Record<string, Record<string, unknown>>>[];
    };
    const names = new Set<string>();
    const read = resource.map((entry): ExportedRecord => {
      const [[kind, blocks] = []] = Object.entries(entry);
      assert.equal(kind, '"aws_route53_record"');
      const [[name = '', block] = []] = Object.entries(blocks ?? {});
      assert.match(name, /^"[a-z][a-z0-9_-]*"$/);
      names.add(name);
      assert.ok(block !== undefined);
      const [value] = block.records as string[];
      return {
        name: template(String(block.name)),
        ttlS: Number(block.ttl),
        type: template(String(block.type)) as 'TXT',
        // The provider puts quotes around the value: "" inside it begins the next string.
        value: template(value ?? '').replaceAll('""', ''),
      };
    });
    assert.equal(names.size, RECORDS.length + 1);
    assert.deepEqual(sorted(read), sorted([...RECORDS, ODD]));
  });

  it('DNSEndpoint: the schema of its CRD, and the text as external-dns passes it on', async function () {
    const kubeconform = requirePeer(this, 'kubeconform');
    if (!(await exists(join(SCHEMAS, 'dnsendpoint-externaldns-v1alpha1.json')))) {
      if (process.env.WAXSEAL_REQUIRE_PEERS === '1') throw new Error(`${SCHEMAS} is missing`);
      this.skip();
    }
    const file = join(folder, 'endpoints.yaml');
    const text = render('dnsendpoint', [...RECORDS, ODD]);
    await writeFile(file, text);
    const schema = `${SCHEMAS}/{{ .ResourceKind }}{{ .KindSuffix }}.json`;
    const check = ['-strict', '-summary', '-schema-location', schema];
    const { stdout } = await run(kubeconform, [...check, file]);
    assert.match(stdout, /6 resources found .* Valid: 6, Invalid: 0, Errors: 0, Skipped: 0/);
    await writeFile(file, text.replace('recordTTL', 'recordTtl'));
    await assert.rejects(run(kubeconform, [...check, file]), (error: Error & { stdout?: string }) =>
      /recordTtl/.test(error.stdout ?? ''),
    );
    const documents = parseAllDocuments(text).map((document) => document.toJS());
    const names = documents.map(({ metadata }) => metadata.name);
    assert.equal(new Set(names).size, names.length);
    for (const name of names) assert.match(name, /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
    const lines = documents.map(({ spec: { endpoints } }) => {
      const [{ dnsName, recordTTL, recordType, targets }] = endpoints;
      return `${dnsName}. ${recordTTL} IN ${recordType} ${targets[0]}${recordType === 'TXT' ? '' : '.'}\n`;
    });
    assert.deepEqual(await readZone(this, `${HEAD}${lines.join('')}`), sorted([...RECORDS, ODD]));
  });

  it('JSON: the value whole, and split as it stands in DNS', () => {
    const { records } = JSON.parse(render('json', [...RECORDS, ODD]));
    for (const [index, given] of [...RECORDS, ODD].entries()) {
      const { strings, ...rest } = records[index];
      assert.deepEqual(rest, given);
      if (given.type === 'CNAME') continue;
      assert.equal(strings.join(''), given.value);
      assert.ok(strings.every((text: string) => text.length <= 255));
    }
  });
});

/** Strings of a zone file (RFC 1035 section 5.1). */
function unquoted(data: string): string {
  return [...data.matchAll(/"((?:[^"\\]|\\.)*)"/g)]
    .map(([, text = '']) =>
      text.replace(/\\(\d{3})|\\(.)/g, (_all, code: string | undefined, plain: string) =>
        code === undefined ? plain : String.fromCharCode(Number(code)),
      ),
    )
    .join('');
}

/** A quoted template without interpolation, as hcl2tojson leaves it. */
function template(written: string): string {
  return written
    .replace(/^"(.*)"$/s, '$1')
    .replace(/\\(.)/g, '$1')
    .replaceAll('$${', () => '${')
    .replaceAll('%%{', '%{');
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
