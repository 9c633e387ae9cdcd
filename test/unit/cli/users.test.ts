import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PasswordChecker, parseUsers } from '../../../src/accept/users.ts';
import { runWaxseal } from '../../support/run-waxseal.ts';

describe('waxseal users', () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waxseal-users-'));
    file = join(folder, 'users');
  });
  afterEach(() => rm(folder, { recursive: true }));

  const users = (args: string[], stdin = '') =>
    runWaxseal(['users', ...args, '--file', file], { stdin });
  const verdict = async (name: string, password: string) =>
    new PasswordChecker().check(parseUsers(await readFile(file, 'utf8')), name, password);

  it('adds a user whose password comes from standard input, and shows it nowhere', async () => {
    const { code, stdout, stderr } = await users(['add', 'joe'], 'correct horse\n');
    assert.equal(code, 0, stderr);
    assert.equal(await verdict('joe', 'correct horse'), 'right');
    assert.equal(await verdict('joe', 'correct horse\n'), 'wrong');
    assert.doesNotMatch(stdout + stderr + (await readFile(file, 'utf8')), /horse/);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(folder), ['users'], 'no lock and no temporary file stay');
  });

  it('makes a password that works', async () => {
    const { stdout } = await users(['add', 'joe', '--generate', '--json']);
    const { password, outcome } = JSON.parse(stdout);
    assert.equal(outcome, 'added');
    assert.equal(password.length, 24);
    assert.equal(await verdict('joe', password), 'right');
  });

  it('changes a password, lists and removes, and keeps the rest of the file', async () => {
    await users(['add', 'joe'], 'one');
    await writeFile(file, `# our people\n${await readFile(file, 'utf8')}`);
    await users(['add', 'ann'], 'two');
    assert.match((await users(['add', 'joe'], 'three')).stdout, /Changed the password of joe/);
    assert.equal(await verdict('joe', 'one'), 'wrong');
    assert.equal(await verdict('joe', 'three'), 'right');
    assert.equal((await users(['list'])).stdout, 'joe\nann\n');
    assert.equal((await users(['remove', 'joe'])).code, 0);
    assert.deepEqual(JSON.parse((await users(['list', '--json'])).stdout).users, ['ann']);
    assert.match(await readFile(file, 'utf8'), /^# our people\nann:/);
  });

  it('fails for a user who is not there, and leaves the file alone', async () => {
    await users(['add', 'joe'], 'one');
    const before = await readFile(file, 'utf8');
    const { code, stderr } = await users(['remove', 'jo']);
    assert.equal(code, 1);
    assert.match(stderr, /no user jo/);
    assert.equal(await readFile(file, 'utf8'), before);
  });

  it('does not write over a file that it cannot read', async () => {
    await writeFile(file, 'joe:secret-in-the-clear\n');
    const { code, stderr } = await users(['add', 'ann'], 'two');
    assert.equal(code, 1);
    assert.match(stderr, /line 1/);
    assert.doesNotMatch(stderr, /in-the-clear/);
    assert.equal(await readFile(file, 'utf8'), 'joe:secret-in-the-clear\n');
  });

  for (const [what, name, password] of [
    ['an empty password', 'joe', '\n'],
    ['a password of two lines', 'joe', 'one\ntwo\n'],
  ] as const) {
    it(`refuses ${what}`, async () => {
      const { code } = await users(['add', name], password);
      assert.equal(code, 1);
      await assert.rejects(readFile(file), { code: 'ENOENT' });
    });
  }

  for (const name of ['a:b', '', '#joe', ' joe', 'jo\u0007e']) {
    it(`refuses ${JSON.stringify(name)} as a name: 2`, async () => {
      assert.equal((await users(['add', name], 'x')).code, 2);
    });
  }

  it('takes the file from the configuration, and says so when there is none', async () => {
    const { code, stderr } = await runWaxseal(['users', 'list']);
    assert.equal(code, 2);
    assert.match(stderr, /clients\.usersFile/);
    const env = {
      WAXSEAL_CLIENTS_USERS_FILE: file,
      WAXSEAL_TLS_CERT_FILE: 'c',
      WAXSEAL_TLS_KEY_FILE: 'k',
    };
    assert.equal((await runWaxseal(['users', 'add', 'joe'], { env, stdin: 'x' })).code, 0);
    assert.equal((await runWaxseal(['users', 'list'], { env })).stdout, 'joe\n');
  });
});
