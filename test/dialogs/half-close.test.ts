import assert from 'node:assert/strict';
import { localReply } from '../../src/mail/reply.ts';
import { testCertificate } from '../support/mx-certificate.ts';
import { ok, openStage, type RawClient, type Stage } from './dialog.ts';

/*
 * A FIN: the client is gone, or it has said all that it wants to say and still reads. Nobody can
 * tell, so what has not gone out is given up, nothing is begun, and every command has its reply.
 */
describe('a client that closes its side', () => {
  let stage: Stage;
  const { key, cert } = testCertificate('relay.example');
  const open = async () => {
    stage = await openStage({ tls: { key, cert, clientCa: undefined, minVersion: 'TLSv1.2' } });
    return stage.greeted();
  };
  afterEach(async () => {
    await stage.close();
    assert.deepEqual(stage.faults, []);
  });

  const awaitsDot = async (client: RawClient): Promise<void> => {
    // The transaction learns that its client is gone, and says how it ended all the same.
    stage.script.end = async () => {
      const aborted = stage.transactions.untilAborted();
      client.socket.end();
      await aborted;
      return ok('the MX took it');
    };
    client.send('MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n');
    for (let count = 0; count < 3; count += 1) await client.reply();
    client.send('x\r\n.\r\n');
  };

  it('hears the reply to its final dot', async () => {
    const client = await open();
    await awaitsDot(client);
    await client.next('250 2.0.0 the MX took it');
    await client.closed();
    assert.equal(stage.calls.at(-1), 'abort connection-lost');
  });

  it('hears it under TLS', async () => {
    const client = await open();
    await client.expect('STARTTLS', '220');
    await client.secure();
    await client.say('EHLO client.example');
    await awaitsDot(client);
    await client.next('250 2.0.0 the MX took it');
    await client.closed();
  });

  it('hears the replies to RCPTs that waited, and begins nothing more', async () => {
    const client = await open();
    stage.script.rcpt = async () => {
      const aborted = stage.transactions.untilAborted();
      client.socket.end();
      await aborted;
      return localReply(451, '4.4.2', 'test', 'given up');
    };
    client.send('MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nRSET\r\nMAIL FROM:<>\r\nNOOP\r\n');
    await client.next('250');
    await client.next('451 4.4.2 given up');
    await client.next('250');
    await client.next('421 4.4.2');
    await client.closed();
    assert.deepEqual(stage.calls.slice(-1), ['abort connection-lost']);
  });

  it('has its session ended at once when nothing is awaited', async () => {
    const client = await open();
    client.send('NOOP\r\n'.repeat(300));
    client.socket.end();
    for (let count = 0; count < 300; count += 1) await client.next('250');
    await client.closed();
  });

  it('has its session ended amid a command, content or a handshake', async () => {
    const command = await open();
    command.send('NOO');
    command.socket.end();
    await command.closed();
    const content = await stage.greeted();
    content.send('MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n');
    for (let count = 0; count < 3; count += 1) await content.reply();
    content.send('x\r\n');
    content.socket.end();
    await content.closed();
    assert.equal(stage.calls.at(-1), 'abort connection-lost');
    const handshake = await stage.greeted();
    await handshake.expect('STARTTLS', '220');
    handshake.socket.end();
    await handshake.closed();
  });
});
