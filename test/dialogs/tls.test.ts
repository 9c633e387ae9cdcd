import assert from 'node:assert/strict';
import { scryptSync } from 'node:crypto';
import type { ListenerTls } from '../../src/accept/session-server.ts';
import { parseUsers, type Users } from '../../src/accept/users.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { testCertificate } from '../support/mx-certificate.ts';
import { openStage, type RawClient, type Stage, type StageOptions } from './dialog.ts';

const server = testCertificate('relay.example');
const TLS: ListenerTls = {
  key: server.key,
  cert: server.cert,
  clientCa: undefined,
  minVersion: 'TLSv1.2',
};

/** A user with a hash of little cost, so that tests stay fast. */
function usersOf(name: string, password: string): Users {
  const salt = Buffer.alloc(16, 1);
  const hash = scryptSync(password, salt, 32, { N: 16, r: 8, p: 1 });
  return parseUsers(`${name}:scrypt$16$8$1$${salt.toString('base64')}$${hash.toString('base64')}`);
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const PLAIN_ANNA = `AUTH PLAIN ${base64('\0anna\0secret')}`;
const PLAIN_WRONG = `AUTH PLAIN ${base64('\0anna\0wrong')}`;

describe('TLS and the ways to be allowed', () => {
  let stage: Stage;
  const open = async (options: StageOptions) => {
    stage = await openStage({ tls: TLS, ...options });
  };
  const secured = async (
    options: Parameters<RawClient['secure']>[0] = {},
    localAddress?: string,
  ): Promise<RawClient> => {
    const client = await stage.greeted(localAddress);
    await client.expect('STARTTLS', '220 2.0.0');
    await client.secure(options);
    await client.expect('EHLO again.example', '250-');
    return client;
  };
  afterEach(async () => {
    await stage.close();
    assert.deepEqual(stage.faults, []);
  });

  describe('STARTTLS', () => {
    it('is offered before TLS only, and tells the transaction of it', async () => {
      await open({});
      const client = await stage.greeted();
      assert.match(client.last, /^250 STARTTLS$/m);
      await client.expect('STARTTLS now', '501 5.5.4');
      await client.expect('STARTTLS', '220 2.0.0');
      await client.secure();
      await client.expect('MAIL FROM:<>', '503');
      await client.say('EHLO again.example');
      assert.doesNotMatch(client.last, /STARTTLS|AUTH/);
      await client.expect('STARTTLS', '503 5.5.1');
      await client.expect('MAIL FROM:<>', '250');
      const [seen] = stage.transactions.clients;
      assert.equal(seen!.protocol, 'ESMTPS');
      assert.match(seen!.tls!.protocol, /^TLSv1\.[23]$/);
      assert.match(seen!.tls!.cipher, /^[A-Z0-9_-]+$/);
      assert.equal(seen!.heloName, 'again.example');
    });

    it('ends the transaction under way', async () => {
      await open({});
      const client = await stage.greeted();
      await client.say('MAIL FROM:<>');
      await client.say('STARTTLS');
      await client.secure();
      await client.say('EHLO again.example');
      assert.deepEqual(stage.calls, ['mail <>', 'abort tls-started']);
    });

    it('never runs what was pipelined behind it in clear', async () => {
      await open({});
      const client = await stage.greeted();
      const injected = 'EHLO evil\r\nMAIL FROM:<evil@e.example>\r\nRCPT TO:<v@v.example>\r\n';
      client.send(`STARTTLS\r\n${injected.repeat(100)}`);
      await client.next('220 2.0.0');
      await client.secure();
      await client.expect('NOOP', '250 2.0.0 Ok');
      await client.expect('MAIL FROM:<>', '503 5.5.1');
      assert.deepEqual(stage.calls, []);
    });

    it('closes a client that goes on in clear', async () => {
      await open({});
      const client = await stage.greeted();
      await client.say('STARTTLS');
      client.send('MAIL FROM:<evil@e.example>\r\n');
      await client.closed().catch(() => {});
      assert.deepEqual(stage.calls, []);
    });

    it('drops a client that does not shake hands in time', async () => {
      const clock = new ManualClock();
      await open({ clock, limits: { idleMs: 1000 } });
      const client = await stage.greeted();
      await client.say('STARTTLS');
      clock.advance(1000);
      await client.closed();
    });

    it('takes all changes together or none', async () => {
      await open({});
      const other = testCertificate('new.example');
      const tls = { ...TLS, key: other.key, cert: other.cert };
      const changes: [object, string][] = [
        [{ tls, allow: ['192.0.2.0/33'] }, 'client-list-invalid'],
        [{ tls: { ...tls, key: TLS.key }, allow: [] }, 'tls-material-invalid'],
        [{ tls: { ...tls, clientCa: 'junk' }, allow: [] }, 'tls-material-invalid'],
      ];
      for (const [change, code] of changes) {
        assert.throws(() => stage.listener.update(change), { code });
      }
      const client = await secured();
      await client.expect('MAIL FROM:<a@a.example>', '250');
      const again = await stage.greeted();
      await again.expect('STARTTLS', '220 2.0.0');
      const socket = await again.secure();
      assert.equal(socket.getPeerCertificate().subject.CN, 'relay.example');
    });

    it('takes a new certificate for the next handshake and keeps sessions', async () => {
      await open({});
      const old = await secured();
      const other = testCertificate('new.example');
      stage.listener.update({ tls: { ...TLS, key: other.key, cert: other.cert } });
      const client = await stage.greeted();
      await client.say('STARTTLS');
      const socket = await client.secure();
      assert.equal(socket.getPeerCertificate().subject.CN, 'new.example');
      await old.expect('NOOP', '250');
      assert.throws(() => stage.listener.update({ tls: { ...TLS, key: other.key } }), {
        code: 'tls-material-invalid',
      });
      stage.listener.update({ tls: undefined });
      assert.doesNotMatch((await stage.greeted()).last, /STARTTLS/);
    });
  });

  describe('AUTH', () => {
    const users = usersOf('anna', 'secret');

    it('lets a client in that the list does not, under TLS only', async () => {
      await open({ allow: [], users });
      const clear = await stage.greeted();
      assert.doesNotMatch(clear.last, /AUTH/);
      await clear.expect(PLAIN_ANNA, '538 5.7.11');
      const client = await secured();
      assert.match(client.last, /^250 AUTH PLAIN LOGIN$/m);
      await client.expect(PLAIN_ANNA, '235 2.7.0');
      await client.expect(PLAIN_ANNA, '503 5.5.1');
      await client.expect('MAIL FROM:<>', '250');
      await client.expect('AUTH LOGIN', '503 5.5.1');
      const [seen] = stage.transactions.clients;
      assert.deepEqual(
        [seen!.allowedBy, seen!.identity, seen!.protocol],
        ['auth', 'anna', 'ESMTPSA'],
      );
    });

    it('knows PLAIN and LOGIN in each of their forms', async () => {
      await open({ users });
      const plain = await secured();
      assert.equal(await plain.say('AUTH PLAIN'), '334 ');
      await plain.expect(base64('\0anna\0secret'), '235');
      const login = await secured();
      assert.equal(await login.say('AUTH LOGIN'), '334 VXNlcm5hbWU6');
      assert.equal(await login.say(base64('anna')), '334 UGFzc3dvcmQ6');
      await login.expect(base64('secret'), '235');
      const initial = await secured();
      await initial.expect(`AUTH LOGIN ${base64('anna')}`, '334');
      await initial.expect('*', '501');
      await initial.expect('AUTH CRAM-MD5', '504');
      await initial.expect('AUTH PLAIN', '334');
      await initial.expect('x'.repeat(13_000), '500 5.5.2');
      await initial.expect('NOOP', '250');
      await initial.expect(`AUTH PLAIN ${'A'.repeat(12_000)}`, '501');
    });

    it('passes clients without a right on as not allowed', async () => {
      await open({ allow: [], users });
      const client = await secured();
      await client.expect(PLAIN_WRONG, '535 5.7.8');
      await client.expect(`AUTH PLAIN ${base64('otto\0anna\0secret')}`, '535 5.7.8');
      await client.say('MAIL FROM:<>');
      assert.equal(stage.transactions.clients[0]!.allowedBy, undefined);
    });

    it('stops hearing an address after too many failures, for ten minutes', async () => {
      const clock = new ManualClock();
      await open({ users, clock, limits: { authFailures: 3, idleMs: 3_600_000 } });
      const client = await secured();
      for (let count = 0; count < 3; count += 1) await client.expect(PLAIN_WRONG, '535 5.7.8');
      await client.expect(PLAIN_ANNA, '454 4.7.0');
      const other = await secured();
      await other.expect(PLAIN_ANNA, '454 4.7.0');
      clock.advance(600_000);
      await other.expect(PLAIN_ANNA, '235 2.7.0');
    });

    it('hears no more guesses side by side than one after the other', async () => {
      await open({ users, limits: { authFailures: 3 } });
      const clients = await Promise.all(Array.from({ length: 10 }, () => secured()));
      const replies = await Promise.all(clients.map((client) => client.say(PLAIN_WRONG)));
      assert.equal(replies.filter((reply) => reply.startsWith('535')).length, 3);
      assert.equal(replies.filter((reply) => reply.startsWith('454 4.7.0')).length, 7);
    });

    it('closes a session that goes on guessing', async () => {
      await open({ users, limits: { authFailures: 2, protocolErrors: 4 } });
      const client = await secured();
      for (const start of ['535', '535', '454', '421 4.7.0']) {
        await client.expect(PLAIN_WRONG, start);
      }
      await client.closed();
    });

    it('takes a new users file for the next attempt', async () => {
      await open({ users });
      const client = await secured();
      stage.listener.update({ users: usersOf('bert', 'other') });
      await client.expect(PLAIN_ANNA, '535');
      await client.expect(`AUTH PLAIN ${base64('\0bert\0other')}`, '235');
      stage.listener.update({ users: undefined });
      assert.doesNotMatch((await secured()).last, /AUTH/);
    });
  });

  describe('sessions of clients that are not allowed yet', () => {
    const users = usersOf('anna', 'secret');
    const allow = ['127.0.0.9'];
    const STRANGER = '127.0.0.1';
    const OTHER = '127.0.0.2';
    const refused = async (localAddress: string): Promise<void> => {
      const client = await stage.client(localAddress);
      assert.match(client.last, /^421 4\.7\.0 .*\[waxseal limits\.strangers \w+\]$/);
      await client.closed();
    };

    it('are bounded for each address, so that one cannot take all', async () => {
      await open({ allow, users, limits: { sessions: 20, sessionsPerClient: 2 } });
      const first = await stage.greeted(STRANGER);
      await stage.greeted(STRANGER);
      await refused(STRANGER);
      await stage.greeted(OTHER);
      await first.say('QUIT');
      await first.closed();
      await stage.greeted(STRANGER);
    });

    it('share half of limits.sessions, so that clients in the list keep their room', async () => {
      await open({ allow, users, limits: { sessions: 4, sessionsPerClient: 50 } });
      await stage.greeted(STRANGER);
      await stage.greeted(OTHER);
      await refused(STRANGER);
      await refused('127.0.0.3');
      const allowed = await stage.greeted(allow[0]);
      await allowed.expect('MAIL FROM:<>', '250');
      await stage.greeted(allow[0]);
      assert.match((await stage.client(allow[0])).last, /^421 4\.3\.2 /);
    });

    it('count no more once they have authenticated', async () => {
      await open({ allow, users, limits: { sessions: 4, sessionsPerClient: 1 } });
      const client = await secured({}, STRANGER);
      await refused(STRANGER);
      await client.expect(PLAIN_ANNA, '235');
      const second = await secured({}, STRANGER);
      await second.expect(PLAIN_ANNA, '235');
      await second.expect('MAIL FROM:<>', '451 4.3.2');
      await client.say('QUIT');
      await client.closed();
      await second.expect('MAIL FROM:<>', '250');
      await stage.greeted(STRANGER);
    });

    it('count no more once they have shown a certificate', async () => {
      const known = testCertificate('client.example', 'mail.example');
      const tls: ListenerTls = { ...TLS, clientCa: known.cert };
      await open({ allow, tls, limits: { sessions: 4, sessionsPerClient: 1 } });
      await secured(known, STRANGER);
      await stage.greeted(STRANGER);
      await refused(STRANGER);
    });
  });

  describe('client certificates', () => {
    const known = testCertificate('client.example', 'mail.example');
    const stranger = testCertificate('client.example', 'stranger.example');
    const tls: ListenerTls = { ...TLS, clientCa: known.cert };
    const allowedWith = async (certificateNames: string[], certificate?: typeof known) => {
      await open({ allow: [], tls, certificateNames });
      const client = await secured(certificate);
      await client.say('MAIL FROM:<>');
      const [seen] = stage.transactions.clients;
      return [seen!.allowedBy, seen!.identity];
    };

    it('let in who has one of the CA, if no names are given', async () => {
      assert.deepEqual(await allowedWith([], known), ['certificate', 'client.example']);
    });

    it('let in by common name or alternative name', async () => {
      assert.deepEqual(await allowedWith(['MAIL.example'], known), [
        'certificate',
        'client.example',
      ]);
    });

    it('do not let in under another name', async () => {
      assert.deepEqual(await allowedWith(['other.example'], known), [undefined, undefined]);
    });

    it('of another CA, or none at all, are no error and give no right', async () => {
      assert.deepEqual(await allowedWith([], stranger), [undefined, undefined]);
      await stage.close();
      assert.deepEqual(await allowedWith([]), [undefined, undefined]);
    });
  });

  describe('the list of clients', () => {
    it('can be exchanged while sessions are open', async () => {
      await open({ allow: ['127.0.0.1'], users: usersOf('anna', 'secret') });
      const client = await stage.greeted();
      stage.listener.update({ allow: ['192.0.2.0/24'] });
      await client.say('MAIL FROM:<>');
      assert.equal(stage.transactions.clients[0]!.allowedBy, undefined);
      assert.throws(() => stage.listener.update({ allow: ['192.0.2.0/33'] }), {
        code: 'client-list-invalid',
      });
    });
  });
});
