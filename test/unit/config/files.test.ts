import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WaxsealError } from '../../../src/base/errors.ts';
import { checkFiles } from '../../../src/config/check-files.ts';
import { readCredentials } from '../../../src/config/read-credentials.ts';
import { build } from './build.ts';

describe('configuration: files that it names', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waxseal-files-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const withPassword = async (content: string) => {
    const path = join(folder, 'password');
    await writeFile(path, content, { mode: 0o600 });
    const hop = `hosts: [a.b], tls: verify, credentials: {user: me, passwordFile: ${path}}`;
    return build(
      `smarthost: {${hop}}\nroute: [{domains: [c.d], hosts: [e.f]}, {domains: [g.h], ${hop}}]`,
    );
  };

  it('reads passwords without their line end', async () => {
    const { config } = await withPassword('hunter2\r\n');
    const { smarthost, routes } = await readCredentials(config);
    assert.deepEqual(smarthost?.credentials, { user: 'me', password: 'hunter2' });
    assert.deepEqual(
      routes.map(({ credentials }) => credentials?.password),
      [undefined, 'hunter2'],
    );
  });

  for (const [what, content] of [
    ['empty', '\n'],
    ['of two lines', 'hunter2\nhunter3\n'],
    ['too long', 'hunter2'.repeat(1000)],
  ] as const) {
    it(`refuses a password file that is ${what}, and shows nothing of it`, async () => {
      const { config } = await withPassword(content);
      await assert.rejects(readCredentials(config), (error) => {
        assert.ok(error instanceof WaxsealError);
        assert.equal(error.code, 'config-password-file');
        assert.ok(error.message.includes(join(folder, 'password')));
        assert.doesNotMatch(error.message, /hunter/);
        return true;
      });
    });
  }

  it('names every file that is missing and every secret that is public', async () => {
    const key = join(folder, 'key.pem');
    await writeFile(key, 'x');
    await chmod(key, 0o644);
    const loaded = build(
      `tls: {certFile: ${folder}/none.pem, keyFile: ${key}, clientCaFile: ${folder}}\nsmarthost: {hosts: [a.b], tls: verify, credentials: {user: u, passwordFile: ${folder}/none}}`,
    );
    const { errors, warnings } = await checkFiles(loaded);
    assert.deepEqual(
      errors.map(({ key, where, message }) => [key, where, message.replace(folder, '')]),
      [
        ['tls.certFile', 'waxseal.yaml:1', '/none.pem does not exist'],
        ['tls.clientCaFile', 'waxseal.yaml:1', ' is a directory'],
        ['smarthost.credentials.passwordFile', 'waxseal.yaml:2', '/none does not exist'],
      ],
    );
    assert.deepEqual(
      warnings.map((warning) => warning.key),
      ['tls.keyFile'],
    );
  });
});
