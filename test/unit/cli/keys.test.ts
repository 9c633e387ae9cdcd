import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CommanderError } from 'commander';
import { WaxsealError } from '../../../src/base/errors.ts';
import { type FakeDns, startDns } from '../../support/dns.ts';
import { type KeyringPlace, makeKeyringPlace, removeKeyringPlace } from '../../support/keyring.ts';
import { requirePeer } from '../../support/peers.ts';
import { type Ran, runKeysCommandLine } from '../../support/run-keys.ts';

interface RecordJson {
  readonly selector: string;
  readonly name: string;
  readonly strings: readonly string[];
  readonly value: string;
  readonly zoneLine: string;
}

/** The server is both the authority of the zone and the resolver. */
const ZONE = {
  'example.com': { NS: ['ns.example.com'] },
  'ns.example.com': { A: ['127.0.0.1'] },
};

function hints({ server }: FakeDns) {
  return [{ zone: 'example.com', servers: [server] }];
}

describe('keys commands', () => {
  let place: KeyringPlace;
  let dns: FakeDns;

  beforeEach(async () => {
    place = await makeKeyringPlace();
    dns = await startDns(ZONE, { negativeTtlS: 0 });
  });
  afterEach(async () => {
    await dns.close();
    await removeKeyringPlace(place);
  });

  async function keys(...args: readonly string[]): Promise<Ran> {
    return await runKeysCommandLine(args, async () => ({
      keys: place,
      dns: { servers: [dns.server], timeoutMs: 2000, attempts: 2, hints: hints(dns) },
    }));
  }

  async function publish(): Promise<void> {
    const { out } = await keys('dns', 'example.com', '--json');
    for (const record of recordsOf(out)) dns.set(record.name, 'TXT', [record.strings], 0);
  }

  it('lead from creation to signing', async () => {
    const created = await keys('create', 'Example.COM');
    assert.equal(created.code, 0);
    assert.match(created.err, /warning: a new master key was made: .*master\.key\. Back it up/);
    assert.match(
      created.out,
      /^wx\d{6}r1\._domainkey\.example\.com\. 3600 IN TXT "v=DKIM1; k=rsa;/m,
    );
    assert.match(created.out, /waxseal keys activate example\.com/);
    const early = await keys('activate', 'example.com');
    assert.equal(early.code, 4);
    assert.match(early.err, /ns\.example\.com \(127\.0\.0\.1\): absent, there is no TXT record/);
    assert.match(early.err, /hint: "waxseal keys export-dns example\.com" prints the records/);
    assert.match(
      (await keys('list')).out,
      /example\.com {2}wx\d{6}r1 {2}rsa2048 {4}file {5}published/,
    );
    await publish();
    const active = await keys('activate', 'example.com');
    assert.equal(active.code, 0, active.err);
    assert.match(active.out, /wx\d{6}r1, wx\d{6}e1: active\n/);
    assert.match((await keys('activate', 'example.com')).out, /nothing to do/);
    assert.match((await keys('list', 'example.com')).out, /rsa2048 {4}file {5}active/);
  });

  it('speak JSON where a program may read it', async () => {
    const created = JSON.parse((await keys('create', 'example.com', '--json')).out);
    assert.deepEqual(
      created.keys.map((key: { algorithm: string }) => key.algorithm),
      ['rsa2048', 'ed25519'],
    );
    const refused = await keys('activate', 'example.com', '--json');
    assert.equal(refused.code, 4);
    const activation = JSON.parse(refused.out);
    assert.equal(activation.outcome, 'waiting');
    assert.match(activation.why, /absent, there is no TXT record/);
    const listed = JSON.parse((await keys('list', '--json')).out);
    assert.equal(listed.domains[0].domain, 'example.com');
    const failed = await keys('dns', 'other.example', '--json');
    assert.equal(failed.code, 3);
    assert.equal(JSON.parse(failed.out).error.code, 'key-domain-unknown');
  });

  it('print a record whose strings join to the value for web forms', async () => {
    await keys('create', 'example.com', '--algorithm', 'rsa4096', '--ttl', '300');
    const { out, err } = await keys('dns', 'example.com', '--json');
    const [record] = recordsOf(out);
    assert.ok(record !== undefined);
    assert.ok(record.strings.every((text) => text.length <= 255));
    assert.equal(record.strings.join(''), record.value);
    const quoted = record.strings.map((text) => `"${text}"`).join(' ');
    assert.equal(record.zoneLine, `${record.name}. 300 IN TXT ${quoted}`);
    assert.match(err, /too many for DNS over plain UDP/);
    const text = (await keys('dns', 'example.com')).out;
    assert.ok(text.includes(`\n${record.zoneLine}\n`));
    assert.ok(text.includes(`\n  Value: ${record.value}\n`));
    assert.equal((await keys('dns', 'example.com', '--selector', 'nope')).code, 3);
  });

  it('export records in the formats of other programs', async () => {
    await keys('create', 'example.com');
    const { out } = await keys('export-dns', 'example.com', '--json');
    const lines = recordsOf(out).map(({ zoneLine }) => `${zoneLine}\n`);
    const zone = await keys('export-dns', 'example.com', '--format', 'zone');
    assert.deepEqual([zone.code, zone.err], [0, '']);
    assert.equal(zone.out, lines.join(''));
    const octodns = await keys(
      'dns',
      'example.com',
      '--format',
      'octodns',
      '--zone',
      'example.COM.',
    );
    assert.match(octodns.out, /^---\nwx\d{6}e1\._domainkey:\n {2}ttl: 3600\n/);
    const outside = await keys('dns', 'example.com', '--format', 'octodns', '--zone', 'b.example');
    assert.match(outside.err, /2 record\(s\) lie outside b\.example/);
    const terraform = await keys('export-dns', 'example.com', '--format', 'terraform');
    assert.match(terraform.err, /^note: set var\.zone_id/);
    assert.match(terraform.out, /^resource "aws_route53_record" "dkim_wx/);
    const endpoint = await keys('export-dns', 'example.com', '--format', 'dnsendpoint');
    assert.match(endpoint.err, /note: experimental: .*\nnote: external-dns needs .*--source=crd/);
    const json = await keys('export-dns', 'example.com', '--format', 'json');
    assert.deepEqual(
      JSON.parse(json.out).records.map((record: RecordJson) => record.value),
      recordsOf(out).map(({ value }) => value),
    );
    await assert.rejects(
      keys('dns', 'example.com', '--format', 'csv'),
      /must be one of zone, octodns/,
    );
    assert.equal(
      (await keys('export-dns', 'example.com', '--format', 'zone', '--selector', 'x')).code,
      3,
    );
  });

  it('show where the records of slots stand, and the CNAMEs that lead there', async () => {
    await keys('create', 'example.com', '--algorithm', 'ed25519');
    const slots = (...args: readonly string[]) =>
      runKeysCommandLine(args, async () => ({
        keys: place,
        dns: { servers: [], timeoutMs: 100, attempts: 1 },
        publishers: [{ domains: ['*'], kind: 'print', slotsUnder: 'keys.provider.example' }],
      }));
    const { out } = await slots('dns', 'example.com');
    assert.match(out, /^wx\w+\.example\.com\.keys\.provider\.example\. 3600 IN TXT "v=DKIM1/m);
    assert.match(
      out,
      /In the zone of example\.com, once and for ever:\n\n(wx\w+)\._domainkey\.example\.com\. 3600 IN CNAME \1\.example\.com\.keys\.provider\.example\.\n$/,
    );
    const { aliases } = JSON.parse((await slots('dns', 'example.com', '--json')).out);
    assert.equal(aliases[0].type, 'CNAME');
    const zone = await slots('dns', 'example.com', '--format', 'zone');
    assert.equal(zone.out.split('\n').length, 3);
    const octodns = await slots('dns', 'example.com', '--format', 'octodns');
    assert.match(octodns.out, /^---\nwx\w+\.example\.com:\n/);
  });

  it('activate by force when DNS does not answer, with a warning', async () => {
    await keys('create', 'example.com');
    const { out } = await keys('dns', 'example.com', '--json');
    for (const record of recordsOf(out)) dns.fault(record.name, 'servfail');
    const refused = await keys('activate', 'example.com');
    assert.equal(refused.code, 4);
    assert.match(refused.err, /it answers SERVFAIL/);
    const forced = await keys('activate', 'example.com', '--force');
    assert.equal(forced.code, 0);
    assert.match(
      forced.err,
      /warning: wx\d{6}r1\._domainkey\.example\.com: ns\.example\.com \(127\.0\.0\.1\): lame, it answers SERVFAIL/,
    );
  });

  it('import a key and say what is wrong with another', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const pemFile = path.join(place.root, 'mail.private');
    await writeFile(pemFile, privateKey.export({ type: 'pkcs1', format: 'pem' }));
    const imported = await keys('import', 'example.com', pemFile, '--selector', 'Mail');
    assert.equal(imported.code, 0, imported.err);
    assert.match(imported.out, /mail {2}rsa1024/);
    assert.match(imported.err, /RSA with 1024 bits is weak/);
    await writeFile(pemFile, 'x');
    const wrong = await keys('import', 'example.com', pemFile, '--selector', 'two');
    assert.equal(wrong.code, 3);
    assert.match(wrong.err, /^error: .*holds no private key in PEM form\nhint: it must begin with/);
    assert.equal((await keys('import', 'example.com', '/nonexistent', '--selector', 'b')).code, 1);
  });

  it('import what openssl writes, and print a zone that named-checkzone reads', async function () {
    const openssl = requirePeer(this, 'openssl');
    const checkZone = requirePeer(this, 'named-checkzone');
    const pem = (name: string, command: string, ...args: readonly string[]) => {
      const file = path.join(place.root, name);
      execFileSync(openssl, [command, '-out', file, ...args], { stdio: 'ignore' });
      return file;
    };
    const files = {
      pkcs1: pem('pkcs1.pem', 'genrsa', '-traditional', '2048'),
      pkcs8: pem('pkcs8.pem', 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:4096'),
      ed25519: pem('ed25519.pem', 'genpkey', '-algorithm', 'ED25519'),
    };
    for (const [selector, file] of Object.entries(files)) {
      const { code, err } = await keys('import', 'example.com', file, '--selector', selector);
      assert.equal(code, 0, err);
    }
    const records = recordsOf((await keys('dns', 'example.com', '--json')).out);
    assert.equal(records.length, 3);
    const zone = [
      'example.com. 3600 IN SOA ns.example.com. admin.example.com. 1 3600 600 86400 60',
      'example.com. 3600 IN NS ns.example.com.',
      'ns.example.com. 3600 IN A 192.0.2.1',
      ...records.map((record) => record.zoneLine),
    ];
    const zoneFile = path.join(place.root, 'zone');
    await writeFile(zoneFile, `${zone.join('\n')}\n`);
    const dump = execFileSync(checkZone, ['-D', '-o', '-', 'example.com', zoneFile], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    for (const record of records) {
      const line = dump.split('\n').find((text) => text.startsWith(`${record.name}.`)) ?? '';
      const strings = [...line.matchAll(/"([^"]*)"/g)].map((match) => match[1]);
      assert.equal(strings.join(''), record.value);
    }
  });

  it('list private keys that no manifest lists', async () => {
    await keys('create', 'example.com');
    assert.equal((await keys('orphans')).code, 0);
    const manifest = path.join(place.dir, 'keyring.yaml');
    const text = await readFile(manifest, 'utf8');
    await keys('create', 'other.example', '--algorithm', 'ed25519');
    await writeFile(manifest, text);
    const { code, out } = await keys('orphans', '--json');
    assert.equal(code, 3);
    const [orphan, ...others] = JSON.parse(out).orphans;
    assert.deepEqual(others, []);
    assert.equal(orphan.domain, 'other.example');
    assert.match(orphan.selector, /^wx\d{6}e1$/);
  });

  it('list what a killed first creation left, where no key is in the keyring yet', async () => {
    await keys('create', 'example.com', '--algorithm', 'ed25519');
    const manifest = path.join(place.dir, 'keyring.yaml');
    await writeFile(manifest, 'version: 1\ngeneration: 9\ndomains: {}\n');
    const { code, out } = await keys('orphans', '--json');
    assert.equal(code, 3);
    assert.deepEqual(JSON.parse(out).backends, ['file']);
    assert.equal(JSON.parse(out).orphans[0].domain, 'example.com');
  });

  const mistakes: readonly (readonly string[])[] = [
    ['create'],
    ['create', 'foo_bar'],
    ['create', '192.0.2.1'],
    ['create', 'example.com', '--algorithm', 'rsa1024'],
    ['create', 'example.com', '--ttl', '5'],
    ['import', 'example.com', 'file'],
    ['import', 'example.com', 'file', '--selector', '../x'],
    ['activate', 'example.com', '--selector', 'a_b'],
    ['frobnicate'],
  ];
  for (const args of mistakes) {
    it(`refuse "keys ${args.join(' ')}" before anything is done`, async () => {
      await assert.rejects(keys(...args), CommanderError);
      assert.deepEqual(await readdir(place.root), []);
    });
  }

  it('tell a wrong configuration from a failure', async () => {
    const wrong = () => Promise.reject(new WaxsealError('config-invalid', 'no', { hint: 'do' }));
    const ran = await runKeysCommandLine(['list'], wrong);
    assert.deepEqual(ran, { code: 2, out: '', err: 'error: no\nhint: do\n' });
    assert.equal((await keys('list')).code, 1);
  });

  it('say that an empty keyring is empty, and that a domain is not in it', async () => {
    await keys('create', 'example.com');
    assert.equal((await keys('list', 'other.example')).code, 3);
    await writeFile(
      path.join(place.dir, 'keyring.yaml'),
      'version: 1\ngeneration: 9\ndomains: {}\n',
    );
    const empty = await keys('list');
    assert.equal(empty.code, 0);
    assert.match(empty.err, /the keyring is empty/);
  });

  it('never show key material, in the clear or encoded, whatever goes wrong', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const pemFile = path.join(place.root, 'key.pem');
    const manifest = path.join(place.dir, 'keyring.yaml');
    const texts: string[] = [];
    const note = async (...args: readonly string[]) => {
      const { out, err } = await keys(...args);
      texts.push(out, err);
    };
    await writeFile(pemFile, pem);
    await note('import', 'example.com', pemFile, '--selector', 'mail');
    await note('import', 'example.com', pemFile, '--selector', 'mail');
    await note('activate', 'example.com');
    await note('activate', 'example.com', '--force');
    await note('list', '--json');
    await note('dns', 'example.com');
    for (const damaged of [
      pem.slice(0, 900),
      `x${pem}`,
      pem.replace('BEGIN', 'BEGAN'),
      pem + pem,
    ]) {
      await writeFile(pemFile, damaged);
      await note('import', 'example.com', pemFile, '--selector', 'other');
    }
    const sealedFile = path.join(place.dir, 'private', 'example.com', 'mail.key');
    const sealed = await readFile(sealedFile);
    texts.push(sealed.toString(), await readFile(manifest, 'utf8'));
    await writeFile(sealedFile, privateKey.export({ type: 'pkcs8', format: 'der' }));
    await note('activate', 'example.com', '--selector', 'mail', '--force');
    await writeFile(sealedFile, sealed);
    await writeFile(manifest, `${await readFile(manifest, 'utf8')}\n${pem}`);
    await note('list');
    await rm(manifest);
    const master = await readFile(place.masterKeyFile);
    await chmod(place.masterKeyFile, 0o644);
    await note('create', 'example.com');
    const output = texts.join('\n');
    assert.ok(output.length > 5000);
    const oneLine = pem.replaceAll('\n', '');
    const inPem = secretFragments(privateKey, pem, master).filter((text) => oneLine.includes(text));
    assert.ok(inPem.length >= 18 + 6, 'the fragments do not find the key even in its own PEM');
    for (const fragment of secretFragments(privateKey, pem, master)) {
      assert.ok(!output.includes(fragment), 'key material was shown');
    }
  });
});

function recordsOf(json: string): RecordJson[] {
  return (JSON.parse(json) as { records: RecordJson[] }).records;
}

/** Pieces of the secret numbers, in every alignment of base64, in hexadecimal and as lines. */
function secretFragments(key: KeyObject, pem: string, master: Buffer): string[] {
  const jwk = createPrivateKey(pem).export({ format: 'jwk' });
  assert.ok(key.type === 'private' && typeof jwk.d === 'string');
  const secrets = [jwk.d, jwk.p, jwk.q, jwk.dp, jwk.dq, jwk.qi].map((part) =>
    Buffer.from(String(part), 'base64url'),
  );
  const fragments = [...secrets, master].flatMap((secret) => [
    secret.subarray(4, 20).toString('hex'),
    secret.subarray(4, 20).toString('latin1'),
    ...[4, 5, 6].map((start) => secret.subarray(start, start + 15).toString('base64')),
  ]);
  // Lines of the PEM from where the public numbers have ended.
  return [...fragments, ...pem.split('\n').slice(8, 26)];
}
