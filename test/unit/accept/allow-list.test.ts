import assert from 'node:assert/strict';
import { parseAllowList, plainAddress } from '../../../src/accept/allow-list.ts';

describe('parseAllowList', () => {
  it('matches addresses and networks of both families', () => {
    const list = parseAllowList(['192.0.2.0/24', '198.51.100.7', '2001:DB8::/32', ' ::1 ']);
    for (const address of ['192.0.2.255', '198.51.100.7', '2001:db8:1::5', '::1']) {
      assert.ok(list.allows(address), address);
    }
    for (const address of ['192.0.3.0', '198.51.100.8', '2001:db9::1', '::2', '', 'junk']) {
      assert.ok(!list.allows(address), address);
    }
  });

  it('takes IPv4-mapped addresses for IPv4, in clients and in entries', () => {
    assert.ok(parseAllowList(['192.0.2.0/24']).allows('::ffff:192.0.2.1'));
    assert.ok(parseAllowList(['192.0.2.0/24']).allows('::FFFF:192.0.2.1'));
    assert.ok(!parseAllowList(['192.0.2.0/24']).allows('::ffff:192.0.3.1'));
    assert.ok(parseAllowList(['::ffff:192.0.2.0/120']).allows('192.0.2.9'));
    assert.ok(!parseAllowList(['::ffff:192.0.2.0/120']).allows('192.0.3.9'));
    assert.equal(plainAddress('::ffff:192.0.2.1'), '192.0.2.1');
  });

  it('allows nobody when it is empty, and everybody of one family only with /0', () => {
    assert.ok(!parseAllowList([]).allows('127.0.0.1'));
    assert.ok(parseAllowList(['0.0.0.0/0']).allows('203.0.113.1'));
    assert.ok(!parseAllowList(['0.0.0.0/0']).allows('2001:db8::1'));
    assert.ok(!parseAllowList(['::/0']).allows('203.0.113.1'));
  });

  it('names an entry that is no network', () => {
    for (const entry of [
      '',
      'example.com',
      '192.0.2.0/33',
      '192.0.2.0/',
      '1.2.3.4/8/8',
      '::/129',
    ]) {
      assert.throws(() => parseAllowList(['127.0.0.1', entry]), {
        code: 'client-list-invalid',
        message: `clients.allow: ${entry} is not a network`,
      });
    }
    assert.throws(() => parseAllowList(['::ffff:192.0.2.0/90']), { code: 'client-list-invalid' });
    assert.throws(() => parseAllowList(['192.0.2.0/-1']), { code: 'client-list-invalid' });
    assert.throws(() => parseAllowList(['192.0.2.0/1e1']), { code: 'client-list-invalid' });
  });
});
