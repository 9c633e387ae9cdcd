import assert from 'node:assert/strict';
import {
  hashPassword,
  isUserName,
  PasswordChecker,
  parseUsers,
} from '../../../src/accept/users.ts';
import { WaxsealError } from '../../../src/base/errors.ts';

/** A cheap hash (N=16) of the password `secret`, so that tests stay fast. */
const CHEAP = 'scrypt$16$8$1$AAECAwQFBgcICQoLDA0ODw==$';

describe('users file', () => {
  it('takes what hashPassword made and tells right from wrong', async () => {
    const users = parseUsers(`# people\n\nanna:${await hashPassword('correct horse')}\r\n`);
    const checker = new PasswordChecker();
    assert.equal(await checker.check(users, 'anna', 'correct horse'), 'right');
    assert.equal(await checker.check(users, 'anna', 'correct horsf'), 'wrong');
    assert.equal(await checker.check(users, 'bert', 'correct horse'), 'wrong');
  });

  it('gives two hashes of one password different salts', async () => {
    assert.notEqual(await hashPassword('x'), await hashPassword('x'));
  });

  it('names the line of a mistake and shows nothing of the hash', () => {
    const good = `${CHEAP}${Buffer.alloc(32, 7).toString('base64')}`;
    for (const [line, pattern] of [
      ['no colon here', /line 2: no user name/],
      [`:${good}`, /line 2: no user name/],
      ['anna:secretsecret', /line 2: the password is not of the form/],
      [`anna:${good}$more`, /line 2: the password is not of the form/],
      [`anna:${good.replace('$16$', '$17$')}`, /line 2: the scrypt parameters/],
      [`anna:${good.replace('$16$', '$1048576$')}`, /too much memory/],
      [`anna:${good.replace('$8$1$', '$8$9$')}`, /too much memory or time/],
      [`anna:${CHEAP}AAAA`, /line 2: salt or hash/],
      [`otto:${good}`, /line 2: the user otto stands in the file twice/],
    ] as const) {
      assert.throws(
        () => parseUsers(`otto:${good}\n${line}\n`),
        (error) => {
          assert.ok(error instanceof WaxsealError);
          assert.equal(error.code, 'users-file-invalid');
          assert.match(error.message, pattern);
          assert.ok(!error.message.includes('secretsecret') && !error.message.includes('BwcH'));
          return true;
        },
      );
    }
  });

  it('knows which names can be written', () => {
    assert.ok(isUserName('anna@example.com'));
    assert.ok(!isUserName('') && !isUserName('a:b') && !isUserName('a\nb'));
  });

  it('checks one at a time and answers busy when the queue is full', async () => {
    const users = parseUsers(`anna:${CHEAP}${Buffer.alloc(32, 7).toString('base64')}`);
    const checker = new PasswordChecker(2);
    const verdicts = await Promise.all(
      Array.from({ length: 5 }, () => checker.check(users, 'anna', 'x')),
    );
    assert.deepEqual(verdicts, ['wrong', 'wrong', 'wrong', 'busy', 'busy']);
    assert.equal(await checker.check(users, 'anna', 'x'), 'wrong');
  });

  it('takes out of the queue at once what is blocked since', async () => {
    const users = parseUsers(`anna:${CHEAP}${Buffer.alloc(32, 7).toString('base64')}`);
    const checker = new PasswordChecker(3);
    let blocked = false;
    const judged: boolean[] = [];
    const guard = {
      isBlocked: () => blocked,
      judged: (right: boolean) => {
        judged.push(right);
        blocked = true;
      },
    };
    const guessed = Array.from({ length: 4 }, () => checker.check(users, 'anna', 'x', guard));
    assert.equal(await guessed[0], 'wrong');
    // Nobody checked another password meanwhile, and the queue has room for all.
    const others = Array.from({ length: 3 }, () => checker.check(users, 'anna', 'x'));
    assert.deepEqual(await Promise.all(guessed.slice(1)), ['blocked', 'blocked', 'blocked']);
    assert.deepEqual(await Promise.all(others), ['wrong', 'wrong', 'wrong']);
    assert.equal(await checker.check(users, 'anna', 'x', guard), 'blocked');
    assert.deepEqual(judged, [false]);
  });

  it('goes on after a check that failed', async () => {
    const good = parseUsers(`anna:${CHEAP}${Buffer.alloc(32, 7).toString('base64')}`);
    const [hash] = good.values();
    const bad = new Map([['anna', { ...hash!, cost: 3 }]]);
    const checker = new PasswordChecker();
    const failed = checker.check(bad, 'anna', 'x');
    const after = checker.check(good, 'anna', 'x');
    await assert.rejects(failed);
    assert.equal(await after, 'wrong');
  });
});
