import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testCertificate } from '../../support/mx-certificate.ts';
import { runWaxseal } from '../../support/run-waxseal.ts';

describe('waxseal: the frame around the commands', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waxseal-cli-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('shows help that names each command, the first steps and the exit codes', async () => {
    const { code, stdout } = await runWaxseal(['--help']);
    assert.equal(code, 0);
    for (const word of [
      'config',
      'keys',
      'users',
      'send',
      'explain',
      'First steps',
      'Exit codes',
    ]) {
      assert.ok(stdout.includes(word), word);
    }
  });

  it('prints its version', async () => {
    const { code, stdout } = await runWaxseal(['--version']);
    assert.equal(code, 0);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });

  for (const args of [
    ['confg'],
    ['config', 'chek'],
    ['config', 'check', '--yaml'],
    ['users', 'add'],
  ]) {
    it(`"${args.join(' ')}" is a wrong command line: 2`, async () => {
      const { code, stdout, stderr } = await runWaxseal(args);
      assert.equal(code, 2);
      assert.equal(stdout, '');
      assert.match(stderr, /^error: /);
    });
  }

  it('suggests the command that was probably meant', async () => {
    assert.match((await runWaxseal(['confg'])).stderr, /Did you mean config/);
  });

  it('takes the configuration from --config, else WAXSEAL_CONFIG, else the working directory', async () => {
    const write = async (name: string, hops: number) => {
      const path = join(folder, name);
      await writeFile(path, `limits: {hops: ${hops}}\n`);
      return path;
    };
    await mkdir(join(folder, 'config'));
    await write('config/waxseal.yaml', 11);
    const byVariable = await write('variable.yaml', 12);
    const byOption = await write('option.yaml', 13);
    const hops = async (args: string[], env: Record<string, string>) => {
      const { stdout } = await runWaxseal(args, { env, cwd: folder });
      return JSON.parse(stdout)['limits.hops'];
    };
    const print = ['config', 'print', '--json'];
    const env = { WAXSEAL_CONFIG: byVariable };
    assert.deepEqual(await hops(print, {}), { value: 11, from: 'config/waxseal.yaml:1' });
    assert.deepEqual(await hops(print, env), { value: 12, from: `${byVariable}:1` });
    assert.deepEqual(await hops([...print, '--config', byOption], env), {
      value: 13,
      from: `${byOption}:1`,
    });
    assert.deepEqual(await hops(['--config', byOption, ...print], env), {
      value: 13,
      from: `${byOption}:1`,
    });
    const overridden = await hops(print, { WAXSEAL_LIMITS_HOPS: '14' });
    assert.deepEqual(overridden, { value: 14, from: 'WAXSEAL_LIMITS_HOPS' });
  });

  it('config check tells every problem, as text and as JSON, and exits with 2', async () => {
    const path = join(folder, 'bad.yaml');
    await writeFile(path, 'limits:\n  sesions: 5\nclients: {allow: [nobody]}\n');
    const asText = await runWaxseal(['config', 'check', '--config', path]);
    assert.equal(asText.code, 2);
    assert.equal(
      asText.stdout,
      `error: ${path}:2: limits.sesions: unknown setting; did you mean "limits.sessions"?\n` +
        `error: ${path}:3: clients.allow[0]: must be an IP address or a network such as 192.0.2.0/24\n` +
        `${path}: 2 errors, 0 warnings\n`,
    );
    const asJson = await runWaxseal(['config', 'check', '--json', '--config', path]);
    const report = JSON.parse(asJson.stdout);
    assert.equal(asJson.code, 2);
    assert.equal(report.ok, false);
    assert.deepEqual(
      report.errors.map((error: { key: string }) => error.key),
      ['limits.sesions', 'clients.allow[0]'],
    );
  });

  it('config check lets warnings pass', async () => {
    const path = join(folder, 'wide.yaml');
    await mkdir(join(folder, 'empty'));
    await writeFile(
      path,
      `server: {name: relay.example.com}\nclients: {allow: [0.0.0.0/0]}\nkeys: {dir: ${folder}/empty}\n`,
    );
    const { code, stdout } = await runWaxseal(['config', 'check', '--config', path]);
    assert.equal(code, 0);
    assert.match(stdout, /^warning: .*open relay/);
    assert.match(stdout, /^warning: .*keys\.dir: the keyring has no domain/m);
  });

  it('config check tries what serve would trip over', async () => {
    const path = join(folder, 'material.yaml');
    await writeFile(join(folder, 'cert.pem'), testCertificate('one.example').cert);
    await writeFile(join(folder, 'key.pem'), testCertificate('two.example').key, { mode: 0o600 });
    await writeFile(join(folder, 'junk'), 'junk');
    const settings = {
      server: { name: 'relay.example.com' },
      listen: ['203.0.113.9:2525'],
      tls: { certFile: `${folder}/cert.pem`, keyFile: `${folder}/key.pem` },
      clients: { usersFile: `${folder}/junk` },
      relay: { caFile: `${folder}/junk` },
      keys: { dir: `${folder}/none` },
      spool: { dir: `${folder}/junk` },
    };
    await writeFile(path, JSON.stringify(settings));
    const { code, stdout } = await runWaxseal(['config', 'check', '--json', '--config', path]);
    assert.equal(code, 2);
    const { errors } = JSON.parse(stdout) as { errors: { key: string; message: string }[] };
    assert.deepEqual(
      errors.map(({ key }) => key),
      ['listen', 'clients.usersFile', 'tls.certFile', 'relay.caFile', 'keys.dir', 'spool.dir'],
    );
    for (const { key, message } of errors) assert.ok(!message.startsWith(`${key}: `), message);
  });

  it('config check names files that are missing', async () => {
    const path = join(folder, 'files.yaml');
    await writeFile(
      path,
      'server: {name: a.example}\ntls: {certFile: /none/c.pem, keyFile: /none/k.pem}\n',
    );
    const { code, stdout } = await runWaxseal(['config', 'check', '--config', path]);
    assert.equal(code, 2);
    assert.match(stdout, /tls\.certFile: \/none\/c\.pem does not exist/);
  });

  it('config print with a bad configuration prints the problems to standard error: 2', async () => {
    const path = join(folder, 'bad.yaml');
    await writeFile(path, 'limits: 5\n');
    const { code, stdout, stderr } = await runWaxseal(['config', 'print', '--config', path]);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, /limits: this must be a section/);
  });

  it('says when a configuration that was named is not there: 2', async () => {
    const { code, stderr } = await runWaxseal([
      'config',
      'print',
      '--config',
      join(folder, 'none'),
    ]);
    assert.equal(code, 2);
    assert.match(stderr, /none cannot be opened/);
  });
});
