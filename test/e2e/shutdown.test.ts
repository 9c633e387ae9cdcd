import assert from 'node:assert/strict';
import { MailLab } from '../support/mail-lab.ts';
import type { MxScript } from '../support/mx.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';

const MESSAGE = Buffer.from('From: author@signer.test\r\nSubject: hello\r\n\r\nbody\r\n');

describe('waxseal serve, when it has to end', function () {
  this.timeout(60_000);
  let lab: MailLab;
  afterEach(() => lab?.stop());

  /** An MX that answers the final dot when the test says so. */
  async function withSlowMx(drainMs: number): Promise<{ answer: (reply: string) => void }> {
    const dot = Promise.withResolvers<string>();
    const script: MxScript = { dot: () => dot.promise };
    lab = await MailLab.start({ 'sink.test': { script } }, ['signer.test'], {
      drain: { timeoutMs: drainMs },
    });
    return { answer: dot.resolve };
  }

  /** Sends a message and waits until the MX has all of it; its reply is not waited for. */
  async function untilAtTheDot(client: RawClient): Promise<void> {
    client.send('a@signer.test', ['a@sink.test'], MESSAGE).catch(() => undefined);
    const session = await lab.mx('sink.test').session(0);
    await waitFor('the content at the MX', () => session.contents.length === 1);
  }

  it('waits for the answer to a transaction whose client has gone, and logs it', async () => {
    const { answer } = await withSlowMx(60_000);
    const client = await RawClient.session(lab.waxseal.port);
    await untilAtTheDot(client);
    client.close();
    lab.waxseal.signal('SIGTERM');
    await waitFor('the drain', () => lab.waxseal.records.some(({ event }) => event === 'draining'));
    assert.deepEqual(lab.waxseal.transactions, []);
    answer('250 2.0.0 taken');
    assert.equal(await lab.waxseal.untilEnded(), 0);
    assert.deepEqual(
      lab.waxseal.transactions.map(({ outcome }) => outcome),
      ['accepted'],
    );
  });

  it('ends when the time for a drain is up: 421 to the client, in-doubt in the log', async () => {
    await withSlowMx(1000);
    const client = await RawClient.session(lab.waxseal.port);
    await client.command('MAIL FROM:<a@signer.test>');
    await client.command('RCPT TO:<a@sink.test>');
    await client.command('DATA');
    client.write(MESSAGE);
    client.write('.\r\n');
    const session = await lab.mx('sink.test').session(0);
    await waitFor('the content at the MX', () => session.contents.length === 1);
    lab.waxseal.signal('SIGTERM');
    assert.match(await client.reply(), /^4[25]1 4\./);
    assert.equal(await lab.waxseal.untilEnded(), 1);
    assert.deepEqual(
      lab.waxseal.transactions.map(({ outcome }) => outcome),
      ['in-doubt'],
    );
  });

  it('ends at once at a second signal', async () => {
    await withSlowMx(60_000);
    const client = await RawClient.session(lab.waxseal.port);
    await untilAtTheDot(client);
    lab.waxseal.signal('SIGTERM');
    await waitFor('the drain', () => lab.waxseal.records.some(({ event }) => event === 'draining'));
    lab.waxseal.signal('SIGTERM');
    assert.equal(await lab.waxseal.untilEnded(), 1);
  });
});
